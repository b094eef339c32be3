--[[ {"FDLINFO": {"NAME": "Invoices to MariaDB", "VERSION": "1.0.0"}} ]]

-- `mysql://` is inside TLS as soon as the server offers it, `mysqls://` always.
local DATABASE = "mysql://sutler:change-me@db.example.com:3306/billing"

function register()
  return { "invoice_to_mariadb" }
end

-- Runs once the script is loaded, and again with each new version of it.
function init()
  mysql.execute({
    url = DATABASE,
    sql = [[CREATE TABLE IF NOT EXISTS invoices (
      id CHAR(36) NOT NULL PRIMARY KEY,
      number BIGINT NOT NULL,
      customer CHAR(36) NOT NULL,
      customer_name VARCHAR(255) NOT NULL,
      issued_at DATETIME NOT NULL,
      currency CHAR(3) NOT NULL,
      total DECIMAL(30, 9) NOT NULL
    )]],
  })
  mysql.execute({
    url = DATABASE,
    sql = [[CREATE TABLE IF NOT EXISTS invoice_lines (
      invoice CHAR(36) NOT NULL,
      line INT NOT NULL,
      description VARCHAR(500) NOT NULL,
      unit_price DECIMAL(30, 9) NOT NULL,
      amount DECIMAL(30, 9) NOT NULL,
      PRIMARY KEY (invoice, line)
    )]],
  })
  return { exitState = "SUCCESS" }
end

function invoice_to_mariadb(p)
  if p == nil then
    return {
      ref = "invoice_to_mariadb",
      name = "Invoices to MariaDB",
      description = "Puts each invoice and its lines into a database",
      priority = 0,
      triggerType = "POST_CREATE",
      triggerOptions = { "INVOICE" },
      api = "TRIGGER",
      version = 1,
    }
  end

  local invoice = p.input
  local id = invoice:getResourceUUID()
  -- A row that is there already stays as it is: a repeated run changes nothing.
  local statements = {
    {
      sql = [[INSERT INTO invoices (id, number, customer, customer_name, issued_at, currency, total)
        VALUES (?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE id = id]],
      params = {
        id,
        invoice:getInvoiceNo(),
        invoice:getCustomerUUID(),
        p.customer and p.customer:getResourceName() or "",
        -- Dates of invoices are in seconds.
        time.format(invoice:getInvoiceDate() * 1000, "yyyy-MM-dd HH:mm:ss"),
        invoice:getCurrency(),
        -- A text: numbers of Lua have 15 digits, amounts may have more.
        invoice:getExactTotal(),
      },
    },
  }
  local items = invoice:getInvoiceItems()
  for number = 1, items:size() do
    local item = items:get(number - 1)
    table.insert(statements, {
      sql = [[INSERT INTO invoice_lines (invoice, line, description, unit_price, amount)
        VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE line = line]],
      params = { id, number, item:getDescription(), item:getExactUnitPrice(), item:getExactAmount() },
    })
  end
  -- All of them, or none: when one fails, the run is tried again.
  mysql.execute({ url = DATABASE, statements = statements })
  log.info("invoice stored", { number = invoice:getInvoiceNo(), lines = items:size() })
  return { exitState = "SUCCESS" }
end
