-- The second part of the script, after redis.lua: the vault, kept answers, and the list of operations.

local function expire_vault(key)
  local ends = redis.call("HGET", key, "ends")
  if ends and tonumber(ends) < now then redis.call("DEL", key) end
end

-- KEYS: vault. ARGV: 3 ttl ms, then for each item: entity, digest, ciphertext. Returns the numbers.
local function seal()
  local vault, ttl = KEYS[1], tonumber(ARGV[3])
  expire_vault(vault)
  local numbers = {}
  for at = 4, #ARGV, 3 do
    local entity, digest, ciphertext = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local field = "d:" .. entity .. ":" .. digest
    local number = redis.call("HGET", vault, field)
    if not number then
      number = redis.call("HINCRBY", vault, "n:" .. entity, "1")
      redis.call("HSET", vault, field, int(number), "c:" .. entity .. ":" .. int(number), ciphertext)
    end
    numbers[#numbers + 1] = tonumber(number)
  end
  redis.call("HSET", vault, "ends", int(now + ttl * 1000))
  redis.call("PEXPIRE", vault, int(ttl))
  return numbers
end

-- KEYS: vault. Returns the hash.
local function unseal()
  expire_vault(KEYS[1])
  return redis.call("HGETALL", KEYS[1])
end

-- Answers kept under an idempotency key. KEYS: answer.
-- ARGV: 3 digest, 4 owner, 5 lease ms. Returns {"new" | "running" | "conflict"} or {"kept", sealed}
local function begin()
  local digest, owner, lease = ARGV[3], ARGV[4], tonumber(ARGV[5])
  local got = redis.call("HMGET", KEYS[1], "digest", "owner", "ends", "sealed")
  -- The same owner again: the answer to its first try was lost.
  if got[1] and tonumber(got[3]) > now and got[2] ~= owner then
    if got[1] ~= digest then return { "conflict" } end
    return got[4] and { "kept", got[4] } or { "running" }
  end
  redis.call("DEL", KEYS[1])
  redis.call("HSET", KEYS[1], "digest", digest, "owner", owner, "ends", int(now + lease * 1000))
  redis.call("PEXPIRE", KEYS[1], int(lease))
  return { "new" }
end

-- ARGV: 3 digest, 4 owner, 5 ttl ms, 6 sealed. Only for whom the key still stands, or if it stands for nobody any more.
local function finish()
  local ttl, got = tonumber(ARGV[5]), redis.call("HMGET", KEYS[1], "owner", "ends")
  if got[2] and got[1] ~= ARGV[4] and tonumber(got[2]) > now then return 0 end
  redis.call("DEL", KEYS[1])
  redis.call("HSET", KEYS[1], "digest", ARGV[3], "ends", int(now + ttl * 1000), "sealed", ARGV[6])
  redis.call("PEXPIRE", KEYS[1], int(ttl))
  return 1
end

-- ARGV: 3 owner
local function abandon()
  return redis.call("HGET", KEYS[1], "owner") == ARGV[3] and redis.call("DEL", KEYS[1]) or 0
end

-- ARGV: 3 owner, 4 lease ms
local function renew()
  if redis.call("HGET", KEYS[1], "owner") ~= ARGV[3] then return 0 end
  redis.call("HSET", KEYS[1], "ends", int(now + tonumber(ARGV[4]) * 1000))
  return redis.call("PEXPIRE", KEYS[1], int(tonumber(ARGV[4])))
end

local operations = {
  reserve = reserve,
  settle = settle,
  undo = undo,
  adopt = adopt,
  take = take,
  peek = function() return take(true) end,
  give = give,
  change = change,
  show = show,
  overdue = overdue,
  seal = seal,
  unseal = unseal,
  begin = begin,
  finish = finish,
  abandon = abandon,
  renew = renew,
}
return operations[operation]()
