-- Ships the style sheet of the house as a public blob when it is loaded, and offers images to everybody by their names.
--[[ FDLINFO { "NAME": "House style", "VERSION": "3" } ]]

local STYLE = [==[
body { background: url("[[logo]]"); }
]==]

function register() return { "offer_trigger" } end

function init()
    local jobs = {}
    local blob = new("Blob")
    blob:setResourceName("house.css")
    blob:setValue(STYLE)
    blob:setPublicResource(false)
    local made = adminAPI:createBlob(blob, nil)
    made:setPublicResource(true)
    local job = adminAPI:modifyBlob(made, nil)
    if job ~= nil then
        jobs[#jobs + 1] = job:getResourceUUID()
    end
    return { jobs = jobs }
end

function offer_trigger(p)
    if p == nil then
        return { ref = "offer_trigger", name = "Images", description = "", triggerType = "SCHEDULED", schedule = { frequency = { DAY = 1 } }, api = "TRIGGER", version = 1 }
    end
    local customer = adminAPI:listResources(nil, nil, new("ResourceType", "CUSTOMER")):getList():get(0)
    local images = adminAPI:runListQuery(new("SearchFilter"), nil, "IMAGE")
    while images:hasNext() do
        local image = images:next()
        local permission = new("ImagePermission")
        permission:setCanClone(true)
        permission:setCanStart(true)
        image:setUserPermission(permission)
        if image:getResourceName():find("^tiny") then
            image:setResourceName("House image (" .. image:getSize() .. " GB)")
            adminAPI:modifyImage(image, nil)
        end
        print(image:getResourceName(), adminAPI:publishImage(image:getResourceUUID(), nil, nil))
    end
    return { exitState = "SUCCESS" }
end
