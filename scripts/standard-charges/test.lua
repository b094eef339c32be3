local GB = 1073741824

-- Measures by function: { MAX = { n = 5 }, LAST = { [time] = 5 } }, all in one unit.
local function period(values, measures, unit)
  local function found(number)
    if number == nil then return nil end
    local map = new("Map")
    map:put("n", bean("MeasuredValue", { measurement = number, measurementType = unit }))
    return map
  end
  local comp = {
    getMeasureAt = function(_, at) return found(measures.LAST and measures.LAST[at]) end,
  }
  for _, each in ipairs({ "MAX", "AVERAGE", "SUM" }) do
    comp["get" .. each .. "MeasureBetween"] = function(_, from, to)
      equal({ from, to }, { 1000, 2000 })
      return found(measures[each])
    end
  end
  return {
    resource = bean("Server", { resourceName = "web-1" }),
    lastBillingTime = 1000,
    currentBillingTime = 2000,
    billingFactor = 0.5,
    measureComp = comp,
    billingComp = {
      getBillingValue = function(_, key)
        return values[key] and bean("Value", { key = key, value = values[key] })
      end,
    },
  }
end

local function by_use(values, measures, unit)
  values.measure = "n"
  return charge_by_use(period(values, measures, unit or "NUMERIC"))
end

function test_time_is_charged_in_proportion()
  equal(charge_by_time(period({ units = "300" }, {})), { { units = -150, description = "web-1 (50 % of a month)" } })
end

function test_nothing_is_charged_where_a_month_costs_nothing()
  equal(charge_by_time(period({ units = "0" }, {})), nil)
end

function test_a_counter_is_charged_by_what_it_grew()
  local measures = { LAST = { [1000] = 10 * GB, [2000] = 130 * GB } }
  local values = { counts = "GROWTH", units = "5", unit_of_measure = "GB", free = "100" }
  equal(by_use(values, measures, "B"), { { units = -100, description = "web-1: 20 GB of n" } })
end

function test_a_counter_that_begins_in_the_period_begins_at_nothing()
  equal(by_use({ counts = "GROWTH", units = "2" }, { LAST = { [2000] = 4 } })[1].units, -8)
end

function test_a_sum_is_charged_whole_and_a_level_in_proportion()
  local measures = { SUM = 12, MAX = 6, AVERAGE = 4 }
  equal(by_use({ counts = "SUM", units = "1" }, measures)[1].units, -12)
  equal(by_use({ counts = "HIGHEST", units = "1" }, measures)[1].units, -3)
  equal(by_use({ counts = "AVERAGE", units = "1" }, measures)[1].units, -2)
end

function test_what_is_free_or_was_not_measured_costs_nothing()
  equal(by_use({ counts = "HIGHEST", units = "1", free = "6" }, { MAX = 6 }), nil)
  equal(by_use({ counts = "HIGHEST", units = "1" }, {}), nil)
  equal(by_use({ counts = "GROWTH", units = "1" }, {}), nil)
end

function test_a_measure_is_not_charged_in_another_kind_of_unit()
  raises("does not convert", function() by_use({ counts = "SUM", units = "1", unit_of_measure = "HOUR" }, { SUM = 1 }, "B") end)
end
