-- What a customer has, as a table for the control panel: one line for each server, and the sum of each offer.

function register() return { "inventory_report" } end

function inventory_report(p)
    if (p == nil) then
        return {
            ref = "inventory_report", name = "Inventory", description = "Servers with what they are made of", version = 1, api = "REPORT",
            invocationLevel = "CUSTOMER",
            inputValues = {
                { key = "order", name = "Order", description = "", required = true, defaultValue = "resourceName",
                    validator = { validatorType = "ENUM", validateString = "resourceName,ram,cpu" } },
                { key = "image", name = "Only of this image", description = "", required = false, validator = { validatorType = "RESOURCE", validateString = "IMAGE.resourceName" } },
            },
        }
    end
    local filter = new("SearchFilter")
    if (p.customerUUID ~= nil) then
        filter:addCondition(new("Utils"):createFilterCondition("customerUUID", "IS_EQUAL_TO", { p.customerUUID }))
    end
    if (p.inputValues.image ~= nil) then
        filter:addCondition(new("Utils"):createFilterCondition("imageUUID", "IS_EQUAL_TO", { p.inputValues.image }))
    end
    local limit = new("QueryLimit")
    limit:setMaxRecords(50)
    limit:setLoadChildren(true)
    local order = new("OrderedField")
    order:setFieldName(p.inputValues.order)
    order:setSortOrder(new("ResultOrder", "ASC"))
    local orders = new("List")
    orders:add(order)
    limit:setOrderBy(orders)

    local lines, sums = {}, {}
    local servers = adminAPI:runListQuery(filter, limit, "SERVER")
    while (servers:hasNext()) do
        local server = servers:next()
        local disks, size = server:getDisks(), 0
        for i = 0, disks:size() - 1 do
            size = size + disks:get(i):getSize()
        end
        local address = "-"
        if (server:getNics():size() > 0 and server:getNics():get(0):getIpAddresses():size() > 0) then
            address = server:getNics():get(0):getIpAddresses():get(0):getIpAddress()
        end
        lines[#lines + 1] = table.concat({
            server:getResourceName(), server:getVdcName(), server:getStatus():toString(), server:getCpu(),
            server:getRam() / 1024 .. " GB", size .. " GB", address, server:getImageName(), server:getProductOfferName(),
        }, "; ")
        local offer = server:getProductOfferUUID()
        sums[offer] = sums[offer] or { name = server:getProductOfferName(), servers = 0, cores = 0 }
        sums[offer].servers = sums[offer].servers + 1
        sums[offer].cores = sums[offer].cores + server:getCpu()
    end
    for _, sum in pairs(sums) do
        lines[#lines + 1] = sum.name .. ": " .. sum.servers .. " servers, " .. sum.cores .. " cores, " .. sum.cores / sum.servers .. " each"
    end
    return { returnCode = "SUCCESSFUL", returnType = "STRING", returnContent = table.concat(lines, "\n") }
end
