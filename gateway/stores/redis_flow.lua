-- The first part of the script: what flowed through a workflow: its labels, and the tools it called. record.py is the
-- same for one process.
-- Labels and tools are names without line feeds. Each list is one field, with every name after a line feed; `fv` is
-- their version, which grows with every change.

local TOOLS = 64
local LABELS = 32
local STRIPPED = 256

-- The history of a workflow, as gateways get it: "version NUL labels NUL tools NUL cleared".
local function history_of(work)
  local got = redis.call("HMGET", work, "fv", "labels", "tools", "cleared")
  return table.concat({ got[1] or "0", got[2] or "", got[3] or "", got[4] or "" }, "\0")
end

-- Adds to a list the names that the list does not have. Returns the list, and whether any name was new.
local function with_names(list, names)
  local fresh = false
  for _, name in ipairs(names) do
    if not string.find(list .. "\n", "\n" .. name .. "\n", 1, true) then
      list, fresh = list .. "\n" .. name, true
    end
  end
  return list, fresh
end

-- Records tools that were called, by the messages of a request; the newest `TOOLS` are kept.
local function show_tools(work, tools)
  local list, fresh = with_names(redis.call("HGET", work, "tools") or "", tools)
  if not fresh then return end
  local _, count = string.gsub(list, "\n", "")
  for _ = TOOLS + 1, count do list = string.match(list, "^\n[^\n]*(.*)$") end
  redis.call("HSET", work, "tools", list)
  redis.call("HINCRBY", work, "fv", "1")
end

-- Sets labels by policy, except labels that an operator removed.
local function set_labels(work, labels)
  local got = redis.call("HMGET", work, "labels", "cleared")
  local kept = {}
  for _, label in ipairs(labels) do
    if not string.find((got[2] or "") .. "\n", "\n" .. label .. "\n", 1, true) then kept[#kept + 1] = label end
  end
  local list, fresh = with_names(got[1] or "", kept)
  if not fresh then return end
  redis.call("HSET", work, "labels", list)
  redis.call("HINCRBY", work, "fv", "1")
end

-- KEYS: workflow. ARGV: 3 JSON [labels, version]. Returns "1" or "0" (another version) and the history, or "gone". If
-- the operation is sent twice, the second finds another version.
local function mark()
  local labels, version = unpack(cjson.decode(ARGV[3]))
  local got = redis.call("HMGET", KEYS[1], "first", "fv")
  if not got[1] then return "gone" end
  local done = version == tonumber(got[2] or 0)
  if done and #labels > 0 then set_labels(KEYS[1], labels) end
  return (done and "1" or "0") .. "\0" .. history_of(KEYS[1])
end

-- KEYS: workflow. ARGV: 3 JSON [tools]: tools that were taken out of a request. Returns 1, or 0 without a record.
local function strip()
  local got = redis.call("HMGET", KEYS[1], "first", "stripped")
  if not got[1] then return 0 end
  local list, known = got[2] and cjson.decode(got[2]) or {}, {}
  for _, tool in ipairs(list) do known[tool] = true end
  for _, tool in ipairs(cjson.decode(ARGV[3])) do
    if not known[tool] then list[#list + 1] = tool end
    known[tool] = true
  end
  while #list > STRIPPED do table.remove(list, 1) end
  if #list > 0 then redis.call("HSET", KEYS[1], "stripped", cjson.encode(list), "more", "1") end
  return 1
end

-- KEYS: workflow. ARGV: 3 JSON [labels, tools]: set and called while a gateway was alone. Returns 1, or 0 without a
-- record.
local function enter()
  local labels, tools = unpack(cjson.decode(ARGV[3]))
  if redis.call("EXISTS", KEYS[1]) == 0 then return 0 end
  set_labels(KEYS[1], labels)
  show_tools(KEYS[1], tools)
  return 1
end

