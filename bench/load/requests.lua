-- Sends the requests of a file in turn, one a line: path, a blank, and the headers with the credential, a tab between.
-- Ends with one line of JSON.

local requests, last = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local path, rest = line:match("^(%S+) (.*)$")
    local headers = { Host = args[2] }
    for name, value in rest:gmatch("([^\t]-): ([^\t]*)") do headers[name] = value end
    requests[#requests + 1] = wrk.format("GET", path, headers)
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  local line = '{"requests":%d,"refused":%d,"broken":%d,"seconds":%f,"p50":%f,"p99":%f,"p999":%f,"max":%f}\n'
  io.write(line:format(summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3,
    latency.max / 1e3))
end
