import socket

from recsys.stack.ports import HOST, free_port, is_free


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        taken = server.getsockname()[1]
        assert not is_free(taken)
        chosen = free_port(taken)
        assert chosen > taken
        assert is_free(chosen)


def test_two_services_get_different_ports() -> None:
    first = free_port(20_000)
    assert free_port(20_000, frozenset({first})) != first
