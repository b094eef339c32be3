local function invoice()
  return event("invoice_to_mariadb", {
    triggerOption = "INVOICE",
    customer = bean("Customer", { resourceName = "Ada Ltd" }),
    input = bean("Invoice", {
      resourceUUID = "i-1",
      invoiceNo = 17,
      customerUUID = "c-1",
      invoiceDate = 1700000000,
      currency = "EUR",
      exactTotal = "12345678901234567.89",
      invoiceItems = {
        bean("InvoiceItem", { description = "web-1, CPU", exactUnitPrice = "0.011", exactAmount = "7.92" }),
        bean("InvoiceItem", { description = "web-1, RAM", exactUnitPrice = "0.005", exactAmount = "3.6" }),
      },
    }),
  })
end

function test_an_invoice_and_its_lines_are_stored_together()
  equal(invoice().exitState, "SUCCESS")
  equal(#calls, 1)
  local statements = calls[1].statements
  equal(#statements, 3)
  equal(statements[1].params, { "i-1", 17, "c-1", "Ada Ltd", "2023-11-14 22:13:20", "EUR", "12345678901234567.89" })
  equal(statements[2].params, { "i-1", 1, "web-1, CPU", "0.011", "7.92" })
  equal(statements[3].params, { "i-1", 2, "web-1, RAM", "0.005", "3.6" })
  for _, statement in ipairs(statements) do
    assert(statement.sql:find("ON DUPLICATE KEY UPDATE", 1, true), "a repeated run would fail or store it twice")
  end
end

function test_the_tables_are_made_when_the_script_is_loaded()
  init()
  equal(#calls, 2)
  for _, call in ipairs(calls) do assert(call.sql:find("CREATE TABLE IF NOT EXISTS", 1, true), call.sql) end
end

function test_a_database_that_is_away_fails_the_run()
  answer("mysql.execute", function() error("mysql: connection refused") end)
  raises("refused", invoice)
end
