-- Attacks by the size of what a function is given, and by how deeply it nests.

--- looking for a long text in a long list
local l, s = new('List'), ('x'):rep(1000000)
for i = 1, 100000 do l:add(i) end
while true do l:contains(s) l:indexOf(s) l:remove(s) end

--- looking for a table in a list of tables
local l = new('List')
for i = 1, 100000 do l:add({}) end
while true do l:indexOf({}) l:contains(function() end) end

--- a list that doubles itself
local l = new('List')
for i = 1, 1000 do l:add(('x'):rep(1000)) end
while true do pcall(function() l:addAll(l) end) end

--- lists of one long list
local l = new('List')
for i = 1, 200000 do l:add(new('List')) end
local m = new('List')
while true do pcall(function() m:add(l) end) end

--- iterators over iterators
local m = new('Map')
for i = 1, 100000 do m:put('key' .. i, i) end
while true do local s = m:keySet() m:entrySet() m:values():iterator() s:toArray() end

--- lists and maps in masses
local t = {}
while true do t[#t + 1] = new('List') t[#t + 1] = new('Map') end

--- beans in a list
local l = new('List')
while true do local b = new('Server') b:setResourceName('n') l:add(b) end

--- properties that were never there
local b, i = new('Server'), 0
while true do i = i + 1 local f = b['get' .. ('x'):rep(1000) .. i] pcall(f) end

--- a bean with many properties of its own
local b = new('Server')
for i = 1, 100000 do pcall(b['setX' .. i], i) end
while true do pcall(function() b:toJSONString() end) pcall(function() return b:getX99999() end) end

--- constants with long names in masses
local t = {}
while true do t[#t + 1] = new('ServerStatus', ('x'):rep(100000) .. #t) end

--- tables with a million keys
local t = {}
for i = 1, 1000000 do t['k' .. i % 200000] = i end
while true do pcall(json.encode, t) pcall(function() new('JSON'):encode(t) end) pcall(function() adminAPI:echo(t) end) end

--- a long array as an argument
local t = {}
for i = 1, 2000000 do t[i] = 1 end
while true do pcall(json.encode, t) pcall(function() new('FilterCondition'):setValue(t) end) pcall(function() new('List'):addAll(t) end) end

--- an array with one far element
local t = { 1, [3000000000] = 1, [1e15] = 1 }
while true do pcall(json.encode, t) pcall(function() new('List'):addAll(t) end) pcall(table.concat, t) pcall(table.sort, t) end

--- texts that grow when they are escaped
local s = ('\1'):rep(4000000)
while true do
  pcall(json.encode, { s, s, s }) pcall(function() new('JSON'):encode_pretty({ s, s, s }) end)
  pcall(function() new('Utils'):createURLActionContent(s, s, { s }) end)
  pcall(function() new('Utils'):createDisplayDialogueActionContent({ s }, s, s, s) end)
end

--- JSON of many small values
local s = '{' .. ('"k":{"a":[1,"x",null,true,{}]},'):rep(100000) .. '"k":1}'
while true do pcall(json.decode, s) pcall(json.encode, json.decode(s)) end

--- JSON of many keys
local t = {}
for i = 1, 300000 do t[i] = '"k' .. i .. '":' .. i end
local s = '{' .. table.concat(t, ',') .. '}'
while true do pcall(json.decode, s) end

--- an answer that is pretty
local t = {}
for i = 1, 90 do t = { t, t and i } end
local d = { t }
for i = 1, 5000 do d[i] = t end
while true do pcall(function() new('JSON'):encode_pretty(d) end) end

--- XML by long paths
local x = new('FDLXMLHelper')
local d = x:newDocument('a')
local s = ('a/'):rep(5000000)
while true do pcall(function() x:findNode(d, s) end) pcall(function() x:findNodes(d, s) end) pcall(function() d:getElementsByTagName(s) end) end

--- XML with long names, attributes and texts
local x, s = new('FDLXMLHelper'), ('&'):rep(8000000)
local d = x:newDocument('a')
local n = x:findNode(d, 'a')
while true do
  pcall(function() x:newDocument(s) end) pcall(function() x:addNode(d, n, s) end) pcall(function() n:setAttribute('x', s) end)
  pcall(function() n:setAttribute(s, 'x') end) pcall(function() x:addCDataNode(d, n, 'b', s) end) pcall(function() n:getTextContent() end)
  pcall(function() x:toString(d) end) pcall(function() x:parse(s) end)
end

--- XML with many siblings
local x = new('FDLXMLHelper')
local d = x:newDocument('a')
local n = x:findNode(d, 'a')
for i = 1, 49000 do x:addNode(d, n, 'b') end
while true do
  pcall(function() x:findNodes(d, 'a/b') end) pcall(function() n:getLastChild():getPreviousSibling() end)
  pcall(function() n:getChildNodes() end) pcall(function() d:getElementsByTagName('*') end) pcall(function() x:removeNode(n, n:getLastChild()) end)
end

--- XML documents in masses
local x, t = new('FDLXMLHelper'), {}
local s = '<a>' .. ('<b c="d">e</b>'):rep(1000) .. '</a>'
while true do t[#t + 1] = x:parse(s) end

--- a filter with many conditions on different fields
local f = new('SearchFilter')
for i = 1, 20000 do
  local c = new('FilterCondition')
  c:setField('field' .. i) c:setValue({ 'x' }) c:setCondition(new('Condition', 'IS_NOT_EQUAL_TO'))
  f:addCondition(c)
end
while true do pcall(function() adminAPI:listResources(f, nil, new('ResourceType', 'SERVER')) end) end

--- a filter with many values
local t = {}
for i = 1, 200000 do t[i] = 'x' .. i end
local f, c = new('SearchFilter'), new('FilterCondition')
c:setField('resourceName') c:setValue(t) c:setCondition(new('Condition', 'CONTAINS'))
f:addCondition(c)
while true do pcall(function() adminAPI:listResources(f, nil, new('ResourceType', 'SERVER')) end) end

--- an order by many fields
local q = new('QueryLimit')
for i = 1, 50000 do
  local o = new('OrderedField')
  o:setFieldName('field' .. i) o:setSortOrder(new('ResultOrder', 'ASC'))
  q:getOrderBy():add(o)
end
while true do pcall(function() adminAPI:listResources(nil, q, new('ResourceType', 'SERVER')) end) end

--- an aggregation of many columns
local q, t, a = new('Query'), {}, new('List')
for i = 1, 5000 do
  t[i] = 'resourceName'
  local f = new('AggregationField')
  f:setFieldName('cpu') f:setAggregationFunction(new('Aggregation', 'SUM'))
  a:add(f)
end
q:setResourceType(new('ResourceType', 'SERVER')) q:setOutputFields(t) q:setGroupByFields(t) q:setAggregationFields(a)
while true do pcall(function() adminAPI:runAggregationQuery(q) end) end

--- a field of many names
local f, c = new('SearchFilter'), new('FilterCondition')
c:setField(('a.'):rep(3000000) .. 'b') c:setValue({ 'x' })
f:addCondition(c)
while true do pcall(function() adminAPI:runListQuery(f, nil, 'SERVER') end) end

--- listing in a loop
local t = {}
while true do t[#t + 1] = adminAPI:listResources(nil, nil, new('ResourceType', 'SERVER')) end

--- dates in long texts
local d, s = new('FDLDateHelper'), ('2026-01-01 '):rep(2000000)
while true do
  pcall(function() d:getTimestamp(s, 'yyyy-MM-dd') end) pcall(function() d:getTimestamp(s) end) pcall(time.parse, s)
  pcall(time.parse, s, 'yyyy') pcall(function() new('Job'):setEndTime(s) end) pcall(function() new('Server'):setCpu(s) end)
end

--- encodings of long texts
local s, h, m = ('%41'):rep(5000000), new('FDLHashHelper'), new('simplehttp')
while true do
  pcall(function() m.URLDecode(s) end) pcall(function() h:fromBase64(s) end) pcall(function() h:getNamedUUID(s) end)
  pcall(function() h:toBase64(s) end) pcall(crypto.equal, s, s)
end

--- signing with long keys and texts
local k = '-----BEGIN PRIVATE KEY-----\n' .. ('TUlJQ\n'):rep(1000000) .. '\n-----END PRIVATE KEY-----\n'
local s = ('x'):rep(8000000)
while true do pcall(crypto.rsa_sha256, k, s) pcall(crypto.rsa_pss_sha256, k, s) pcall(crypto.hmac_sha1, s, s) end

--- names that are not there
local s = ('x'):rep(10000000)
while true do
  pcall(new, s) pcall(function() return new('Server')[s] end) pcall(function() return adminAPI[s] end) pcall(function() return event[s] end)
  pcall(function() new('List'):get(s) end) pcall(function() new('Map'):get(s) end) pcall(convert_mtype, s, s) pcall(translate.measureType, s)
end

--- errors that are long texts
local s = ('x'):rep(10000000)
while true do
  pcall(error, s) pcall(error, setmetatable({}, { __tostring = function() return s end })) pcall(tostring, setmetatable({}, { __tostring = function() return s end }))
  xpcall(error, function(e) return e .. e end, s) pcall(assert, false, s) pcall(coroutine.wrap(function() error(s) end))
end

--- an error that is a long text at the end
local s = ('x'):rep(20000000)
adminAPI:echo(1)
error(s)

--- a large answer
local t = {}
for i = 1, 400000 do t['key' .. i] = { i } end
return t

--- sorting by a comparator that fails
local t = {}
for i = 1, 300000 do t[i] = i end
while true do pcall(table.sort, t, function(a, b) if a % 1000 == 0 then error('x') end return a > b end) end

--- sorting long texts
local t, s = {}, ('x'):rep(100000)
for i = 1, 300 do t[i] = s .. i end
while true do table.sort(t) table.sort(t, function(a, b) return a < b end) end

--- replacing by a function with many captures
local s, p = ('a'):rep(100000), ('(a)'):rep(32)
while true do pcall(string.gsub, s, p, function(...) return select('#', ...) end) pcall(string.gsub, s, '()', function() return 'xxxxxxxx' end) end

--- formats of great width in great number
local p = ('%99d'):rep(20000) .. ('%99.99f'):rep(20000)
local t = {}
for i = 1, 7000 do t[i] = i end
while true do pcall(string.format, p, unpack(t)) pcall(string.format, ('%d'):rep(7000), unpack(t)) pcall(string.format, ('%q'):rep(7000), unpack(t)) end

--- a storm of wrapped coroutines
while true do
  for i = 1, 1000 do
    local f = coroutine.wrap(function(...) coroutine.yield(...) error('x') end)
    f(1) pcall(f)
  end
end

--- coroutines that wait for each other in a chain
local f = function() while true do coroutine.yield(1) end end
for i = 1, 150 do
  local g = coroutine.wrap(f)
  f = function() while true do coroutine.yield(g()) end end
end
while true do pcall(coroutine.wrap(f)) end

--- values that end with their block
while true do
  local t = setmetatable({}, { __gc = function() while true do end end, __close = function() while true do end end, __mode = 'v' })
  t[1] = setmetatable({}, getmetatable(t))
  for i = 1, 1000 do t[i] = {} end
end

--- a source of many parentheses at once
local f = loadstring
while true do
  f('return ' .. ('('):rep(190) .. '1' .. (')'):rep(190)) f('return ' .. ('{'):rep(190) .. ('}'):rep(190))
  f(('a.b.c.d():e()'):rep(15000)) f('x = ' .. ('function() return '):rep(150) .. '1' .. (' end'):rep(150))
  f('local x = y' .. (' or z and y'):rep(20000)) f('if a then' .. (' elseif a then '):rep(15000) .. ' end')
end

--- a source of large constant tables
local t = {}
for i = 1, 30000 do t[i] = '{' .. i .. '}' end
local s = 'return {' .. table.concat(t, ',') .. '}'
local u = 'return {' .. ('1.5,'):rep(60000) .. '}'
while true do local f = loadstring(s) local g = loadstring(u) pcall(f) pcall(g) end

--- a source of many functions
local s = ('local function f() return 1 end '):rep(190) .. ('f = function(a, b, ...) local c = a return function() return c end end '):rep(3500)
while true do loadstring(s) end

--- joining and unpacking by metamethods
local t = setmetatable({}, { __index = function(_, i) return ('x'):rep(100000) end, __len = function() return 1e9 end })
while true do pcall(table.concat, t, '', 1, 1000000) pcall(unpack, t, 1, 7000) pcall(table.concat, t) pcall(ipairs(t)) for _ in ipairs(t) do end end

--- writing far beyond a table
local t = {}
while true do pcall(rawset, t, 2 ^ 40, 1) pcall(table.insert, t, 1e9, 1) pcall(table.insert, t, 2 ^ 31, 1) pcall(table.remove, t, -2 ^ 31) pcall(select, -2 ^ 31, 1) end

--- messages with long values
local s = ('x'):rep(5000000)
while true do
  pcall(mysql.query, { url = 'mysql://127.0.0.1:1/d', sql = s, params = { s, s } }) pcall(amqp.publish, { url = s, queue = 'q', body = s })
  pcall(amqp.publish, { url = 'amqp://127.0.0.1:1', queue = 'q', json = { s, s } }) pcall(xmpp.send, { url = 'xmpp://a:b@127.0.0.1:1', to = s, body = s })
  pcall(syslog.send, { url = 'syslog://127.0.0.1:1', text = s, app = s }) pcall(smtp.send, { to = s, subject = s, html = s, server = 'smtp://127.0.0.1:1' })
  pcall(http.post, 'http://127.0.0.1:1/', { body = s, auth = { user = s, password = s } }) pcall(http.get, 'http://' .. s)
end

--- long keys of what a script keeps
local s = ('k'):rep(10000000)
while true do pcall(kv.get, s) pcall(kv.set, s, s) pcall(kv.list, s) pcall(kv.incr, 'k', 0 / 0) pcall(kv.cas, 'k', s, s) pcall(function() dataStore:put(s, s) end) end

--- passwords in masses
local c = new('simplehttp'):newConnection({ url = 'http://127.0.0.1:1/' })
local i = 0
while true do
  i = i + 1
  c:setBasicAuth('u', ('p'):rep(10000) .. i) pcall(function() c:get() end) print(('x'):rep(1000))
end

--- a bean that holds itself by way of a table
local b, t, l = new('Server'), {}, new('List')
b:setX(t) t[1] = b
l:add({ l })
while true do pcall(function() b:toJSONString() end) tostring(b) pcall(json.encode, t) pcall(json.encode, { l }) pcall(function() adminAPI:echo(b, l) end) end

--- beans in tables in beans
local b, m = new('Server'), new('Map')
for i = 1, 100000 do
  local c, n = new('Server'), new('Map')
  c:setX({ b }) b = c
  n:put('x', { m }) m = n
end
while true do pcall(function() b:toJSONString() end) tostring(b) pcall(json.encode, b) pcall(json.encode, { m }) pcall(function() kv.set('k', m) end) end

--- key sets in masses
local m = new('Map')
for i = 1, 50000 do m:put('key' .. i, i) end
while true do m:keySet() m:values() end

--- one of each listing kept
local t = {}
while true do t[#t + 1] = adminAPI:listResources(nil, nil, 'SERVER'):getList():get(0) end

--- conditions with long lists
local t = {}
while true do t[#t + 1] = new('Utils'):createFilterCondition('a', 'IS_EQUAL_TO', { ('x'):rep(100000) }) end

--- maps made of tables
local t = {}
while true do local mail = new('CustomerEmail') mail:setEmailSettingDetails({ a = ('x'):rep(100000) }) t[#t + 1] = mail end

--- connections with long headers
local t = {}
while true do
  local c = new('simplehttp'):newConnection({ url = 'http://127.0.0.1:1/' .. ('x'):rep(60000) })
  c:setRequestHeaders({ a = ('x'):rep(100000) }) t[#t + 1] = c
end

--- requests to long addresses after the last
local i = 0
while true do i = i + 1 pcall(http.get, 'http://u:' .. i .. ('p'):rep(30000) .. '@127.0.0.1:1/' .. ('x'):rep(30000) .. i) end

--- a body of half the memory
local s = ('x'):rep(25000000)
while true do pcall(http.post, 'http://127.0.0.1:1/', { body = s }) pcall(function() new('FDLHashHelper'):md5(s) end) end

--- a sort by metamethods
local meta = { __lt = function(a, b) return a.n < b.n end }
local t = {}
for i = 1, 40000 do t[i] = setmetatable({ n = (i * 7919) % 40009 }, meta) end
while true do table.sort(t) t[1], t[40000] = t[40000], t[1] end

--- coroutines in coroutines that spin
local function deep(n) if n == 0 then while true do end end coroutine.wrap(deep)(n - 1) end
while true do pcall(deep, 100) end
