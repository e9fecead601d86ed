-- haproxy.cfg's door: what it does with the bytes of a connection before HAProxy's HTTP parser sees them.

-- A filter that finds requests with two Content-Length headers, or with one that is not a number. HAProxy's parser hides equal ones and
-- may close the connection otherwise, so the filter renames such a header, and a rule of the frontend gateway answers 400. It follows the
-- requests of a connection by their lengths. Whatever it does not understand it passes on unchanged, with the rest of the connection:
-- the gateway's parser decides about that.
local LONGEST_LINE = 20480
local LENGTH, RENAMED = "content-length", "Content-Repeat" -- equally long, so that nothing moves
local Requests = {id = "requests"}
Requests.__index = Requests

function Requests:new()
  return setmetatable({read = Requests.read_lines, on_line = Requests.start_line}, Requests)
end

function Requests:start_analyze(txn, stream)
  if not stream:is_resp() then
    filter.register_data_filter(self, stream)
  end
end

-- Return how many bytes may pass; the rest, an incomplete line, is seen again with what follows it.
function Requests:tcp_payload(txn, stream)
  local size, position = stream:input(), 0
  while position < size do -- without a byte, HAProxy 3.2 returns no string but any value
    local passed = self:read(stream, position, size - position)
    if passed == 0 then
      break
    end
    position = position + passed
  end
  return position
end

function Requests:pass_all(stream, position, size)
  return size
end

function Requests:pass_body(stream, position, size)
  local passed = math.min(size, self.left)
  self.left = self.left - passed
  if self.left == 0 then
    self.read = Requests.read_lines
  end
  return passed
end

function Requests:read_lines(stream, position, size)
  local text = stream:data(position, math.min(size, LONGEST_LINE))
  local start = 1
  while self.read == Requests.read_lines do
    local stop = text:find("\n", start, true)
    if not stop then
      if start == 1 and #text == LONGEST_LINE then
        self.read = Requests.pass_all
        return size
      end
      break
    end
    self:on_line(text:sub(start, stop):gsub("\r?\n$", ""), stream, position + start - 1)
    start = stop + 1
  end
  return start - 1
end

function Requests:start_line(line)
  if line:find("^PRI ") then -- HTTP/2, whose frames have lengths of their own
    self.read = Requests.pass_all
  elseif line ~= "" then -- empty lines may come before a request
    self.length, self.coding, self.on_line = nil, nil, Requests.header
  end
end

function Requests:header(line, stream, offset)
  if line == "" then
    return self:end_of_head()
  end
  local name, blanks, value = line:match("^([^:%s]+)([ \t]*):[ \t]*(.-)[ \t]*$")
  name = name and name:lower()
  if name == "transfer-encoding" then
    self.coding = value:lower()
  elseif name == LENGTH and (self.length or not value:find("^%d+$")) then
    stream:set(RENAMED .. ":" .. blanks, offset, #LENGTH + #blanks + 1)
    self.read = Requests.pass_all -- the gateway closes the connection
  elseif name == LENGTH then
    self.length = tonumber(value)
  end
end

function Requests:end_of_head()
  self.on_line = Requests.start_line
  if self.coding and self.coding:find("chunked$") then
    self.on_line = Requests.chunk_size
  elseif self.coding then
    self.read = Requests.pass_all
  elseif self.length and self.length > 0 then
    self.left, self.read = self.length, Requests.pass_body
  end
end

function Requests:chunk_size(line)
  local size = tonumber(line:match("^%x+") or "", 16)
  if not size then
    self.read = Requests.pass_all
  elseif size == 0 then
    self.on_line = Requests.trailer
  else
    self.left, self.read, self.on_line = size, Requests.pass_body, Requests.end_of_chunk
  end
end

function Requests:end_of_chunk(line)
  self.on_line = Requests.chunk_size
  if line ~= "" then
    self.read = Requests.pass_all
  end
end

function Requests:trailer(line)
  if line == "" then
    self.on_line = Requests.start_line
  end
end

core.register_filter("requests", Requests, function(instance)
  return instance
end)

-- The answer to a first request whose head does not arrive in time; HAProxy 2.6 would send a page of its own.
local head = "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n"
  .. "cache-control: no-store\r\nx-content-type-options: nosniff\r\ncontent-security-policy: default-src 'none'; frame-ancestors 'none'\r\n\r\n"
local body = '{"type":"about:blank","title":"Request Timeout","status":408,"detail":"The request was not complete within 10 s."}'

core.register_service("timeout", "tcp", function(applet)
  applet:send(head:format(#body) .. body)
end)
