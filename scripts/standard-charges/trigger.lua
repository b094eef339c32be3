--[[ {"FDLINFO": {"NAME": "Standard charges", "VERSION": "1.0.0"}} ]]

local DECIMAL = { validatorType = "NUMERIC_DOUBLE", validateString = "0-1000000000", errorMessage = "a number from 0" }

function register()
  return { "charge_by_time", "charge_by_use" }
end

-- So many units a month, for the part of the month in which the resource was there.
function charge_by_time(p)
  if p == nil then
    return {
      ref = "charge_by_time",
      name = "Charge by time",
      description = "A number of units each month, in proportion to the time in which the resource was there",
      api = "BILLING",
      version = 1,
      configuredValues = {
        { key = "units", name = "Units a month", required = true, validator = DECIMAL },
      },
    }
  end

  local units = tonumber(configured(p, "units"))
  if units == 0 then return nil end
  return { { units = -units * p.billingFactor, description = subject(p) .. share(p) } }
end

-- So many units for each amount of what was measured, beyond a free part.
function charge_by_use(p)
  if p == nil then
    return {
      ref = "charge_by_use",
      name = "Charge by use",
      description = "A number of units for what was measured of the resource",
      api = "BILLING",
      version = 1,
      configuredValues = {
        {
          key = "measure",
          name = "Measure",
          description = "Its key: disk_read, or providers.TYPE.key for what a provider measures",
          required = true,
          validator = { validatorType = "REGEX", validateString = "[^, ]+" },
        },
        {
          key = "counts",
          name = "What counts",
          description = "The growth over the period, of what only grows; the sum of all that was measured; "
            .. "or the highest or average level, in proportion to the time in which the resource was there",
          required = true,
          defaultValue = "GROWTH",
          validator = { validatorType = "ENUM", validateString = "GROWTH,SUM,HIGHEST,AVERAGE" },
        },
        { key = "units", name = "Units for each", required = true, validator = DECIMAL },
        {
          key = "unit_of_measure",
          name = "Each what",
          description = "What the units are for: a GB, say, though bytes are measured. Empty: as it is measured",
          validator = { validatorType = "ENUM", validateString = "B,KB,MB,GB,TB,SECOND,MINUTE,HOUR,DAY,MONTH,YEAR" },
        },
        {
          key = "free",
          name = "Free of charge",
          description = "So much of it costs nothing in each period, or at each moment for a level",
          defaultValue = "0",
          validator = DECIMAL,
        },
      },
    }
  end

  local amount, unit = used(p, configured(p, "measure"), configured(p, "counts"))
  if amount == nil then return nil end
  local wanted = configured(p, "unit_of_measure")
  if wanted then amount, unit = amount * convert_mtype(unit, wanted), wanted end
  amount = amount - (tonumber(configured(p, "free")) or 0)
  local units = amount * tonumber(configured(p, "units"))
  if units <= 0 then return nil end

  local what = round(amount) .. " " .. translate.measureType(unit) .. " of " .. configured(p, "measure")
  local counts = configured(p, "counts")
  if counts == "HIGHEST" or counts == "AVERAGE" then
    return { { units = -units * p.billingFactor, description = subject(p) .. ": " .. what .. share(p) } }
  end
  return { { units = -units, description = subject(p) .. ": " .. what } }
end

-- How much of a measure counts, and in which unit it is; nil where nothing was measured.
function used(p, key, counts)
  local from, to = p.lastBillingTime, p.currentBillingTime
  local function value(found)
    found = found and found:get(key)
    if found then return found:getMeasurement(), found:getMeasurementType():name() end
  end
  if counts == "HIGHEST" then return value(p.measureComp:getMAXMeasureBetween(from, to, key)) end
  if counts == "AVERAGE" then return value(p.measureComp:getAVERAGEMeasureBetween(from, to, key)) end
  if counts == "SUM" then return value(p.measureComp:getSUMMeasureBetween(from, to, key)) end
  local reached, unit = value(p.measureComp:getMeasureAt(to, key))
  if reached == nil then return nil end
  return reached - (value(p.measureComp:getMeasureAt(from, key)) or 0), unit
end

function configured(p, key)
  local value = p.billingComp:getBillingValue(key)
  value = value and value:getValue()
  if value ~= "" then return value end
end

function subject(p)
  return p.resource:getResourceName() or p.resource:getResourceUUID()
end

function share(p)
  if p.billingFactor >= 1 then return "" end
  return " (" .. round(p.billingFactor * 100) .. " % of a month)"
end

function round(number)
  return new("Utils"):roundNumber(number, 2)
end
