"""What egress and the guard share: one thread that serves connections, sockets that never block, HTTP/1.1 read strictly."""
