-- Asks for a list of paths in turn, each thread from another place on.
local formatted, at = {}, 0

function setup(thread)
	threads = (threads or 0) + 1
	thread:set("place", threads)
end

function init(args)
	for line in io.lines(args[1]) do
		formatted[#formatted + 1] = wrk.format("GET", line)
	end
	at = math.floor(#formatted * place / 2)
end

function request()
	at = at % #formatted + 1
	return formatted[at]
end

function done(summary)
	local e = summary.errors
	io.write(string.format("summary %d %d %d\n", summary.requests, summary.duration,
		e.connect + e.read + e.write + e.status + e.timeout))
end
