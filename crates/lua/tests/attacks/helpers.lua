-- Attacks by way of what the helpers and objects offer.

--- hashes of a long text
local s = ('x'):rep(8000000) while true do pcall(crypto.sha512, s) pcall(crypto.hmac_sha512, s, s) end

--- random bytes
while true do pcall(crypto.random, 1e9) pcall(crypto.random, 1e6) pcall(crypto.random, -1) pcall(crypto.random, 0/0) end

--- base64 and hex of a long text
local s = ('ab'):rep(4000000) while true do pcall(crypto.base64, s) pcall(crypto.unbase64, s) pcall(crypto.hex, s) pcall(crypto.unhex, s) end

--- keys that are none
local s = ('-----BEGIN PRIVATE KEY-----\n'):rep(200000) while true do pcall(crypto.rsa_sha256, s, 'x') end

--- a mail of many pieces
local s = ('x'):rep(1000000) local t = {} for i = 1, 1000 do t[i] = { name = s, type = s, body = s } end while true do pcall(smtp.send, { to = s, from = s, subject = s, body = s, attachments = t }) end

--- a mail with a long body
local s, m = ('x\n'):rep(10000000), new('FDLEmailHelper') while true do pcall(function() m:sendEmail(s, s, s, s, s, s, s) end) end

--- adding nodes
local x = new('FDLXMLHelper') local d = x:newDocument('a') local n = d while true do n = x:addNode(d, x:findNode(d, 'a'), 'b') end

--- nodes below nodes
local x = new('FDLXMLHelper') local d = x:newDocument('a') local n = x:findNode(d, 'a') while true do n = x:addNode(d, n, 'b') x:toString(d) end

--- long texts in nodes
local x, s = new('FDLXMLHelper'), ('&'):rep(1000000) local d = x:newDocument('a') while true do x:addTextNode(d, x:findNode(d, 'a'), 'b', s) end

--- entities that multiply
local s = '<!DOCTYPE a [<!ENTITY b "x">' for i = 1, 30 do s = s .. '<!ENTITY c' .. i .. ' "&c' .. i - 1 .. ';&c' .. i - 1 .. ';">' end s = s .. ']><a>&c30;</a>' local x = new('FDLXMLHelper') while true do pcall(function() x:parse(s) end) end

--- deep and wide XML
local x = new('FDLXMLHelper') local deep, wide = ('<a>'):rep(300000), '<a>' .. ('<b/>'):rep(200000) .. '</a>' while true do pcall(function() x:parse(deep) end) pcall(function() x:parse(wide) end) end

--- attributes in masses
local t = {} for i = 1, 60000 do t[i] = ' a' .. i .. '="x"' end local s = '<a' .. table.concat(t) .. '/>' local x = new('FDLXMLHelper') while true do pcall(function() x:parse(s) end) end

--- JSON of what holds itself
local t = {} t.t = t for i = 1, 100 do t[i] = t end while true do pcall(json.encode, t) pcall(function() new('JSON'):encode_pretty(t) end) end

--- JSON objects in objects
local s = ('{"a":'):rep(400000) while true do pcall(json.decode, s) pcall(json.decode, '"' .. ('\\u0041'):rep(500000) .. '"') pcall(json.decode, ('9'):rep(3000000)) end

--- what a script keeps
local i = 0 while true do i = i + 1 pcall(kv.set, 'k' .. i, ('x'):rep(60000)) end

--- lists of what a script keeps
for i = 1, 50 do kv.set('k' .. i, ('x'):rep(60000)) end while true do pcall(kv.list, '', { limit = 1e9 }) end

--- a map of data that grows
local m = {} while true do m[#m + 1] = ('x'):rep(1000) pcall(dataStore.resetPrivateDataMap, dataStore, 'u', m) end

--- a filter with a million conditions
local f = new('SearchFilter') while true do local c = new('FilterCondition') c:setField('resourceName') c:setValue({ ('x'):rep(1000) }) c:setCondition(new('Condition', 'IS_EQUAL_TO')) f:addCondition(c) end

--- a filter with a long value
local s = ('x'):rep(20000000) while true do pcall(function() local f, c = new('SearchFilter'), new('FilterCondition') c:setField(s) c:setValue({ s }) c:setCondition(new('Condition', 'CONTAINS')) f:addCondition(c) adminAPI:listResources(f, nil, new('ResourceType', 'SERVER')) end) end

--- date patterns without end
local d, s = new('FDLDateHelper'), ("'"):rep(3000001) while true do pcall(function() d:getString(0, s) d:getTimestamp(s, s) d:getString(1e300, 'yyyy') d:addDays(0, 1e300) end) pcall(time.format, 1e300, 'yyyy') pcall(time.format, 0, s) end

--- enum constants in masses
local i = 0 while true do i = i + 1 new('ServerStatus', ('x'):rep(10000) .. i) end

--- names of types in masses
local i = 0 while true do i = i + 1 pcall(new, ('x'):rep(10000) .. i) pcall(function() local s = new('Server') return s['get' .. i](s) end) end

--- beans in masses
local t = {} while true do t[#t + 1] = new('Server') end

--- beans in beans
local b = new('Server') while true do local c = new('Server') pcall(function() c:setResourceKey({ b, b }) c:setX({ b, b, b }) end) b = c pcall(function() return b:toJSONString() end) end

--- waiting in the order of a sort
local t = {} for i = 1, 1000 do t[i] = i end while true do table.sort(t, function(a, b) adminAPI:echo(a) return a > b end) end

--- waiting in foreach and gsub
while true do table.foreach({ 1, 2 }, function() adminAPI:echo(1) end) ('aa'):gsub('a', function() adminAPI:echo(2) end) end

--- large arguments to the platform
local s = ('x'):rep(10000000) while true do pcall(function() adminAPI:echo(s, s, s) end) end

--- widgets of long texts
local s, w = ('<'):rep(5000000), new('FDLCustomWidgetHelper') while true do pcall(function() w:createGetContentOutput(s, s, s) end) end

--- a description of a long text
local s = ('#__'):rep(1000000) while true do pcall(translate.string, s, s, s) pcall(translate.advanced, s, { s }) end

--- masking in a long log
syslog.openlog('x', 0, 0) while true do syslog.syslog('LOG_INFO', ('x'):rep(100000)) log.info('x', { a = ('y'):rep(100000) }) end

--- targets in masses
local i = 0 while true do i = i + 1 pcall(http.get, 'http://127.0.0.1:1/' .. ('x'):rep(100000) .. i) end

--- headers in masses
local h = {} for i = 1, 50000 do h['x' .. i] = ('y'):rep(100) end while true do pcall(http.get, 'http://127.0.0.1:1/', { headers = h }) end

--- rounding and comparing
local u = new('Utils') while true do pcall(function() u:roundNumber(1e308, 1e9) u:roundNumber(0/0, -1e9) u:roundNumber(1, 400) end) end
