-- Sends back what HAProxy made of the header, and then line by line: a service gets lines, or as many bytes as it names.
core.register_service("echo", "tcp", function(applet)
  local source, destination = applet.f:src(), applet.f:dst()
  local family = source:find(":", 1, true) and "TCP6" or "TCP4"
  local ports = ("%d %d\r\n"):format(applet.f:src_port(), applet.f:dst_port())
  applet:send(table.concat({ "PROXY", family, source, destination, ports }, " "))
  while true do
    local line = applet:getline()
    if line == nil or line == "" then return end
    applet:send(line)
  end
end)
