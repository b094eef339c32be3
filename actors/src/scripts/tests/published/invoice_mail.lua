--[[
{
  "FDLINFO": {
    "NAME": "Invoice mail",
    "VERSION": "1.1.0"
  }
}
]]

-- After each invoice: mails its users a summary with a link to the PDF, and leaves a note about it on the customer.

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

  local body = "<html><body><p>Your invoice " .. invoice:getInvoiceNo() .. " of " .. month .. " is ready: "
    .. total .. " " .. p.customer:getBillingEntityName() .. ".</p><table>" .. rows .. "</table>"
    .. "<p><a href=\"" .. link(p, invoice) .. "\">Your invoice as a PDF</a></p></body></html>"

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

function link(p, invoice)
  local url = adminAPI:getResource(p.beUUID, false):getControlPanelURL()
  if(url == nil) then url = "" end
  if(not new("Utils"):stringEndsWith(url, "/")) then url = url .. "/" end
  return url .. "rest/user/current/resources/invoice/" .. invoice:getResourceUUID() .. "/render_pdf"
end

function escape(text)
  return (string.gsub(string.gsub(text or "", "&", "&amp;"), "<", "&lt;"))
end
