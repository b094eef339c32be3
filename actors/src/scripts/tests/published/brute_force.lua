--[[ Locks a user after three wrong passwords, unlocks in time. FDLINFO {"NAME":"Brute force","VERSION":"1"} ]]
function register() return {"count_failures","unlock_again"} end
function find_user(mail)
  local utils = new("Utils")
  local f = new("SearchFilter")
  f:addCondition(utils:createFilterCondition("email", "IS_EQUAL_TO", mail))
  local l = adminAPI:listResources(f, nil, new("ResourceType","USER")):getList()
  if l:size() == 0 then return nil end
  return l:get(0)
end
function count_failures(p)
  if p == nil then return {ref="count_failures",name="Brute force",description="",priority=0,triggerType="POST_AUTH",triggerOptions={"FAILURE"},api="TRIGGER",version=1} end
  local mail = string.match(p.input, "([^%s/]+@[^%s/]+)")
  if mail == nil then return {exitState="CONTINUE"} end
  local user = find_user(mail)
  if user == nil then return {exitState="CONTINUE"} end
  local n = 0
  local keys = user:getResourceKey()
  for i = 0, keys:size()-1 do if keys:get(i):getName() == "FAILED_LOGINS" then n = tonumber(keys:get(i):getValue()) end end
  n = n + 1
  local key = new("ResourceKey") key:setName("FAILED_LOGINS") key:setValue(n)
  adminAPI:removeKey(user:getResourceUUID(), key)
  adminAPI:addKey(user:getResourceUUID(), key)
  if n >= 3 then
    local ok, err = pcall(function() adminAPI:lockUser(user:getResourceUUID()) end)
    if not ok then
      if string.find(err, "CANNOT_LOCK_ONLY_ADMIN_USER") then print("the only administrator stays") else error(err) end
    else
      print("locked " .. mail)
      local m = new("FDLEmailHelper")
      m("security@example.net", "fco@example.net", "fco@example.net", nil, nil, "Locked " .. mail, "<html><body>" .. mail .. "</body></html>", nil)
    end
  end
  return {exitState="SUCCESS"}
end
function unlock_again(p)
  if p == nil then return {ref="unlock_again",name="Unlock",description="",triggerType="SCHEDULED",schedule={frequency={minutes=15}},api="TRIGGER",version=1} end
  local f = new("SearchFilter")
  local c = new("FilterCondition") c:setField("resourcekey.name") c:setValue({"FAILED_LOGINS"})
  f:addCondition(c)
  local it = adminAPI:runListQuery(f, nil, "USER")
  while it:hasNext() do
    local user = it:next()
    local key = new("ResourceKey") key:setName("FAILED_LOGINS")
    adminAPI:removeKey(user:getResourceUUID(), key)
    print("unlocked " .. user:getEmail() .. " " .. tostring(adminAPI:unlockUser(user:getResourceUUID())))
  end
  return {exitState="SUCCESS"}
end
