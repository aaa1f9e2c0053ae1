-- Asks for a list of requests in turn, each thread from another place on. Lines of the list are method, path and body with
-- tabs between them. Every status other than 200 is written out.
local formatted, at = {}, 0

function setup(thread)
	threads = (threads or 0) + 1
	thread:set("place", threads)
end

function init(args)
	for line in io.lines(args[1]) do
		local method, path, body = line:match("^([^\t]*)\t([^\t]*)\t(.*)$")
		formatted[#formatted + 1] = wrk.format(method, path, nil, body)
	end
	at = math.floor(#formatted * place / 7)
end

function request()
	at = at % #formatted + 1
	return formatted[at]
end

function response(status)
	if status ~= 200 then
		io.write("unexpected status ", status, "\n")
	end
end

function done(summary)
	io.write(string.format("requests %d errors %d %d %d %d\n", summary.requests, summary.errors.connect,
		summary.errors.read, summary.errors.write, summary.errors.timeout))
end
