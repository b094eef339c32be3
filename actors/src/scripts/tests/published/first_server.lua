--[[ Each new customer gets a first server of the smallest image. FDLINFO {"NAME":"Provision","VERSION":"1.0"} ]]
function register() return {"provision_first_server"} end
function provision_first_server(p)
  if p == nil then return {ref="provision",name="Provision",description="",priority=0,triggerType="POST_CREATE",triggerOptions={"USER"},api="TRIGGER",version=1} end
  local user = p.input
  local customer = p.customer
  if customer == nil then
    local f = new("SearchFilter")
    f:addCondition(new("Utils"):createFilterCondition("users.resourceUUID", "IS_EQUAL_TO", user:getResourceUUID()))
    local l = adminAPI:listResources(f, nil, new("ResourceType","CUSTOMER")):getList()
    if l:size() == 0 then error("no customer of " .. user:getEmail()) end
    customer = l:get(0)
  end
  local have = adminAPI:listResources(new_filter({customerUUID=customer:getResourceUUID()}), nil, new("ResourceType","SERVER"))
  if have:getTotalCount() > 0 then return {exitState="CONTINUE"} end
  userAPI:setSessionUser(user:getEmail() .. "/" .. customer:getResourceUUID())
  local limit = new("QueryLimit")
  limit:setMaxRecords(1)
  local by = new("OrderedField") by:setFieldName("size") by:setSortOrder(new("ResultOrder","ASC"))
  limit:getOrderBy():add(by)
  local image = userAPI:listResources(nil, limit, new("ResourceType","IMAGE")):getList():get(0)
  local offer = userAPI:listResources(new_filter({["product.associatedType"]="SERVER"}), nil, new("ResourceType","PRODUCTOFFER")):getList():get(0)
  local vdc = userAPI:listResources(nil, nil, new("ResourceType","VDC")):getList():get(0)
  local cluster = userAPI:listResources(nil, nil, new("ResourceType","CLUSTER")):getList():get(0)
  local server = new("Server")
  server:setResourceName("first")
  server:setCustomerUUID(customer:getResourceUUID())
  server:setProductOfferUUID(offer:getResourceUUID())
  server:setImageUUID(image:getResourceUUID())
  server:setVdcUUID(vdc:getResourceUUID())
  server:setClusterUUID(cluster:getResourceUUID())
  server:setVirtualizationType(new("VirtualizationType","VIRTUAL_MACHINE"))
  server:setCpu(1)
  server:setRam(512)
  local disk = new("Disk")
  disk:setSize(20)
  disk:setIndex(0)
  disk:setProductOfferUUID(offer:getResourceUUID())
  disk:setVdcUUID(vdc:getResourceUUID())
  server:getDisks():add(disk)
  local job = userAPI:createServer(server, nil, nil)
  job = userAPI:waitForJob(job:getResourceUUID(), false)
  if job:getStatus():name() ~= "SUCCESSFUL" then error("first server: " .. tostring(job:getErrorCode()) .. " " .. tostring(job:getInfo())) end
  local made = userAPI:getResource(job:getItemUUID(), true)
  print(made:getResourceName() .. " " .. made:getCpu() .. " " .. made:getRam() .. " " .. made:getDisks():size() .. " " .. made:getDisks():get(0):getSize() .. " " .. made:getStatus():name() .. " " .. made:getImageName())
  local start = userAPI:changeServerStatus(made:getResourceUUID(), new("ServerStatus","RUNNING"), true, nil, nil)
  start = userAPI:waitForJob(start:getResourceUUID(), true)
  print(start:getJobType():name() .. " " .. start:getStatus():name() .. " " .. start:getItemType():name())
  return {exitState="SUCCESS"}
end
function new_filter(t)
  local f = new("SearchFilter")
  for k, v in pairs(t) do f:addCondition(new("Utils"):createFilterCondition(k, "IS_EQUAL_TO", v)) end
  return f
end
