--[[
{
  "FDLINFO": {
    "NAME": "Invoice mail",
    "VERSION": "1.1.0"
  }
}
]]

-- After each invoice: mails its users a summary with a link to the control panel, and leaves a note about it on the customer.

function register()
  return {"invoice_mail_trigger"}
end

function invoice_mail_trigger(p)
  if(p == nil)then
    return {
      ref = "invoice_mail_trigger",
      name = "#__INVOICE_MAIL_NAME",
      description = "#__INVOICE_MAIL_DESCRIPTION",
      priority = 0,
      triggerType = "POST_CREATE",
      triggerOptions = {"INVOICE"},
      api = "TRIGGER",
      version = 1
    }
  end

  local invoice = adminAPI:getResource(p.input:getResourceUUID(), true)
  local utils = new("Utils")
  local total = utils:roundNumber(invoice:getInvoiceTotalInc(), 2)
  local month = new("FDLDateHelper"):getString(new("FDLDateHelper"):getTimestamp(invoice:getResourceCreateDate()), "MMMM yyyy")
  local items = invoice:getInvoiceItems()
  local rows = ""
  for i = 0, items:size() - 1 do
    rows = rows .. "<tr><td>" .. escape(items:get(i):getDescription()) .. "</td></tr>"
  end

  local seller = adminAPI:getResource(p.beUUID, false)
  local body = "<html><body><p>Your invoice " .. invoice:getInvoiceNo() .. " of " .. month .. " is ready: "
    .. total .. " " .. seller:getCurrency():getCode() .. ".</p><table>" .. rows .. "</table>" .. link(seller) .. "</body></html>"

  local emailHelper = new("FDLEmailHelper")
  local sent = 0
  local users = p.customer:getUsers()
  for i = 0, users:size() - 1 do
    emailHelper:sendEmail(users:get(i):getEmail(), "billing@provider.test", nil, nil, nil, "Invoice " .. invoice:getInvoiceNo(), body, nil)
    sent = sent + 1
  end

  local key = new("ResourceKey")
  key:setName("LAST_INVOICE")
  key:setValue(invoice:getInvoiceNo())
  adminAPI:addKey(p.customer:getResourceUUID(), key)
  print("invoice " .. invoice:getInvoiceNo() .. " mailed to " .. sent .. ", " .. items:size() .. " items")
  return { exitState = "SUCCESS" }
end

-- Where the invoice can be looked at and paid, if its seller has such a place.
function link(seller)
  local url = seller:getControlPanelURL()
  if(url == nil)then
    return ""
  end
  return "<p><a href=\"" .. escape(url) .. "\">Look at it in your control panel</a></p>"
end

function escape(text)
  return (string.gsub(string.gsub(text or "", "&", "&amp;"), "<", "&lt;"))
end
