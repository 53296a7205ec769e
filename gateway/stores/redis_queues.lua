-- Queues of records. KEYS: when the first of each queue is due, counts, records. Fields of counts: n and b of all,
-- o:OWNER of an owner; h:QUEUE is the number of the first record, e:QUEUE that after the last, t:QUEUE the tries.
local QUEUES_KEPT = 7 * 86400 * 1000

local function number_of(name)
  return tonumber(redis.call("HGET", KEYS[2], name) or "0")
end

local function lessen(name, amount)
  if redis.call("HINCRBY", KEYS[2], name, int(-amount)) <= 0 then redis.call("HDEL", KEYS[2], name) end
end

-- ARGV: 3 queue, 4 owner, 5 record, 6 maximum records, 7 of an owner, 8 maximum bytes. Returns 0 if there is no room
local function push()
  local due, counts, records = KEYS[1], KEYS[2], KEYS[3]
  local queue, owner, record = ARGV[3], "o:" .. ARGV[4], ARGV[5]
  if
    number_of("n") >= tonumber(ARGV[6])
    or number_of(owner) >= tonumber(ARGV[7])
    or number_of("b") + #record > tonumber(ARGV[8])
  then
    return 0
  end
  local number = number_of("e:" .. queue)
  redis.call("HSET", records, queue .. ":" .. int(number), ARGV[4] .. ":" .. record)
  redis.call("HSET", counts, "e:" .. queue, int(number + 1))
  redis.call("HINCRBY", counts, "n", "1")
  redis.call("HINCRBY", counts, "b", int(#record))
  redis.call("HINCRBY", counts, owner, "1")
  if not redis.call("ZSCORE", due, queue) then redis.call("ZADD", due, int(now), queue) end
  for _, key in ipairs(KEYS) do redis.call("PEXPIRE", key, int(QUEUES_KEPT)) end
  return 1
end

-- ARGV: 3 microseconds, 4 maximum number. Returns queue, number, tries and record of the first of each queue
local function lease()
  local all = {}
  for _, queue in ipairs(redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", int(now), "LIMIT", "0", ARGV[4])) do
    local head = number_of("h:" .. queue)
    local record = redis.call("HGET", KEYS[3], queue .. ":" .. int(head))
    if record then
      redis.call("ZADD", KEYS[1], int(now + tonumber(ARGV[3])), queue)
      local tries = redis.call("HINCRBY", KEYS[2], "t:" .. queue, "1")
      for _, it in ipairs({ queue, int(head), int(tries), string.sub(record, string.find(record, ":", 1, true) + 1) }) do
        all[#all + 1] = it
      end
    else
      redis.call("ZREM", KEYS[1], queue)
      redis.call("HDEL", KEYS[2], "h:" .. queue, "e:" .. queue, "t:" .. queue)
    end
  end
  return all
end

-- ARGV: 3 queue, 4 number, 5 microseconds
local function postpone()
  if number_of("h:" .. ARGV[3]) ~= tonumber(ARGV[4]) or not redis.call("ZSCORE", KEYS[1], ARGV[3]) then return 0 end
  redis.call("ZADD", KEYS[1], int(now + tonumber(ARGV[5])), ARGV[3])
  return 1
end

-- ARGV: 3 queue, 4 number, 5 "1" for all records. Returns the number of records
local function shift()
  local queue = ARGV[3]
  local head, stop = number_of("h:" .. queue), number_of("e:" .. queue)
  if head ~= tonumber(ARGV[4]) or head >= stop then return 0 end
  local last = ARGV[5] == "1" and stop - 1 or head
  for at = head, last do
    local name = queue .. ":" .. int(at)
    local record = redis.call("HGET", KEYS[3], name)
    if record then
      local colon = string.find(record, ":", 1, true)
      lessen("o:" .. string.sub(record, 1, colon - 1), 1)
      lessen("n", 1)
      lessen("b", #record - colon)
      redis.call("HDEL", KEYS[3], name)
    end
  end
  redis.call("HDEL", KEYS[2], "t:" .. queue)
  if last + 1 >= stop then
    redis.call("ZREM", KEYS[1], queue)
    redis.call("HDEL", KEYS[2], "h:" .. queue, "e:" .. queue)
  else
    redis.call("HSET", KEYS[2], "h:" .. queue, int(last + 1))
    redis.call("ZADD", KEYS[1], int(now), queue)
  end
  return int(last - head + 1)
end

-- Figures of a name, numbered. ARGV: 3 maximum number, 4 ttl ms, 5... records
local function measure()
  local last = redis.call("ZREVRANGE", KEYS[1], "0", "0", "WITHSCORES")
  local number = tonumber(last[2] or "0")
  for at = 5, #ARGV do
    number = number + 1
    redis.call("ZADD", KEYS[1], int(number), int(number) .. ":" .. ARGV[at])
  end
  redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", int(number - tonumber(ARGV[3])))
  redis.call("PEXPIRE", KEYS[1], ARGV[4])
  return int(number)
end

