-- One playback's use of one limit, decided by the server's clock.
-- KEYS: 1 playbacks by when they end, 2 playbacks by when they began, 3 kicked playbacks by how long they stay out
-- ARGV: 1 playback, 2 limit, 3 idle, 4 used ago, 5 started ago, 6 kicked for (all ms), 7 most kicked, 8 kick?, 9 look?
-- Returns result (1 held, 2 limited, 3 kicked), ms until a retry, 1 if it is new, and the playbacks that were kicked.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local playback, limit, idle = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local kick, look = ARGV[8] == '1', ARGV[9] == '1'

-- keep lets a key live at least as long as what is in it.
local function keep(key, ms)
	if redis.call('PTTL', key) < ms then
		redis.call('PEXPIRE', key, ms)
	end
end

local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 500)
if #ended > 0 then
	redis.call('ZREM', KEYS[1], unpack(ended))
	redis.call('ZREM', KEYS[2], unpack(ended))
end
local out = tonumber(redis.call('ZSCORE', KEYS[3], playback) or 0)
if out > now then
	return {3, out - now, 0}
end
local expires = now + idle - tonumber(ARGV[4])
local held = redis.call('ZSCORE', KEYS[1], playback)
if held then
	if not look and expires > tonumber(held) then
		redis.call('ZADD', KEYS[1], expires, playback)
		keep(KEYS[1], expires - now + 1000)
		keep(KEYS[2], expires - now + 1000)
	end
	return {1, 0, 0}
end
local count = redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf')
if count >= limit and not kick then
	local first = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
	return {2, tonumber(first[2]) - now, 0}
end
if look or expires <= now then
	return {1, 0, 0}
end
local started, reply = now - tonumber(ARGV[5]), {1, 0, 1}
local function send_off(who)
	redis.call('ZADD', KEYS[3], now + tonumber(ARGV[6]), who)
	redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -tonumber(ARGV[7]) - 1)
	keep(KEYS[3], tonumber(ARGV[6]))
end
while count >= limit do
	local oldest = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
	if not oldest[1] then
		break
	end
	if started < tonumber(oldest[2]) then -- it comes back after an outage, and is the one that began first
		send_off(playback)
		reply[1], reply[2], reply[3] = 3, tonumber(ARGV[6]), 0
		return reply
	end
	redis.call('ZREM', KEYS[1], oldest[1])
	redis.call('ZREM', KEYS[2], oldest[1])
	send_off(oldest[1])
	reply[#reply + 1] = oldest[1]
	count = count - 1
end
redis.call('ZADD', KEYS[1], expires, playback)
redis.call('ZADD', KEYS[2], started, playback)
keep(KEYS[1], expires - now + 1000)
keep(KEYS[2], expires - now + 1000)
return reply
