-- Asks for a list of paths in turn, each thread from another place on. The first line of the list is what is posted to each of
-- them; if it is empty, they are asked for by GET.
local formatted, at = {}, 0

function setup(thread)
	threads = (threads or 0) + 1
	thread:set("place", threads)
end

function init(args)
	local method, body
	for line in io.lines(args[1]) do
		if not method then
			method, body = line == "" and "GET" or "POST", line ~= "" and line or nil
		else
			formatted[#formatted + 1] = wrk.format(method, line, nil, body)
		end
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
