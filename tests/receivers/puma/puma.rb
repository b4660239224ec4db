bind 'tcp://127.0.0.1:8080'
set_remote_address proxy_protocol: :v1
threads 32, 32
app do |env|
  [200, { 'Content-Type' => 'text/plain' }, ["#{env['REMOTE_ADDR']}\n"]]
end
