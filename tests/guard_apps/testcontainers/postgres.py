"""PostgreSQL as testcontainers starts it."""

import socket

from testcontainers.postgres import PostgresContainer

with PostgresContainer("postgres:15", driver=None) as postgres:
    words = ["psql", "-h", "127.0.0.1", "-U", postgres.username, "-d", postgres.dbname, "-tAc", "SELECT 6 * 7"]
    code, output = postgres.exec(["env", f"PGPASSWORD={postgres.password}", *words])
    assert (code, output.strip()) == (0, b"42"), output
    with socket.create_connection((postgres.get_container_host_ip(), postgres.get_exposed_port(5432)), timeout=20) as connection:
        connection.sendall(bytes((0, 0, 0, 8, 4, 210, 22, 47)))  # asks whether TLS is spoken
        assert connection.recv(1) in (b"N", b"S")
print("passed")
