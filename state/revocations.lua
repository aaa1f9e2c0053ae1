-- One change of the list of revocations, or a look at it.
-- KEYS: 1 entries by ID, 2 IDs by when they are over (Unix ms), 3 version
-- ARGV: 1 what (add, remove, load), 2 most entries, 3 channel, then for add triples of ID, when it is over and entry, for remove an ID
-- Returns the version, and for load the entries; for remove 1 if there was one.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local what = ARGV[1]

-- A list without a version is new, or was lost: its epoch tells nodes that.
local version = redis.call('GET', KEYS[3])
if not version then
	version = t[1] .. '.' .. t[2] .. ':1'
	redis.call('SET', KEYS[3], version)
end

-- Clocks of nodes may differ a little from that of the server.
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - 60000, 'LIMIT', 0, 500)
if #over > 0 then
	redis.call('HDEL', KEYS[1], unpack(over))
	redis.call('ZREM', KEYS[2], unpack(over))
end

local function changed()
	local epoch, n = version:match('^(.*):(%d+)$')
	version = epoch .. ':' .. string.format('%d', n + 1)
	redis.call('SET', KEYS[3], version)
	redis.call('PUBLISH', ARGV[3], version)
end

if what == 'add' then
	local fresh = 0
	for i = 4, #ARGV, 3 do
		fresh = fresh + 1 - redis.call('HEXISTS', KEYS[1], ARGV[i])
	end
	if redis.call('HLEN', KEYS[1]) + fresh > tonumber(ARGV[2]) then
		return {version, 'full'}
	end
	for i = 4, #ARGV, 3 do
		redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
		redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
	end
	changed()
elseif what == 'remove' then
	redis.call('ZREM', KEYS[2], ARGV[4])
	if redis.call('HDEL', KEYS[1], ARGV[4]) == 1 then
		changed()
		return {version, '1'}
	end
elseif what == 'load' then
	local reply = redis.call('HVALS', KEYS[1])
	table.insert(reply, 1, version)
	return reply
end
return {version}
