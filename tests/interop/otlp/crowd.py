"""gRPC messages that together are more than a tenant's budget, held open by real clients: the one too many is told to come later,
and what was held is taken once it ends."""

import os
import sys
import threading
import time

import grpc

from hostile import TRACES, good

BYTES = 14 << 20
# 192 MiB are 13 of them and a part of the next.
HELD = 13


def main():
    address, metadata = sys.argv[1], [("authorization", f"Bearer {os.environ['OTLP_TOKEN']}")]
    options = [("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
    may_end, outcomes = threading.Event(), []

    def hold(number):
        # A message without the end of its stream: the server has all of it, and waits.
        def messages():
            yield good(number, 1, large=BYTES)
            may_end.wait(25)

        with grpc.insecure_channel(address, options=options) as channel:
            while True:
                try:
                    channel.stream_unary(TRACES)(messages(), metadata=metadata, timeout=60)
                    outcomes.append(grpc.StatusCode.OK)
                    return
                except grpc.RpcError as error:
                    # One of those that are tried may come first, and this one is told then: fewer are held, so it comes again.
                    if may_end.is_set() or error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
                        outcomes.append(error.code())
                        return
                may_end.wait(0.05)

    held = [threading.Thread(target=hold, args=[number]) for number in range(1, HELD + 1)]
    for thread in held:
        thread.start()
    told, tried, begun = None, 0, time.monotonic()
    with grpc.insecure_channel(address, options=options) as channel:
        while told is None and time.monotonic() - begun < 20:
            tried += 1
            try:
                channel.unary_unary(TRACES)(good(100 + tried, 1, large=BYTES), metadata=metadata, timeout=60)
                time.sleep(0.2)
            except grpc.RpcError as error:
                told = error
        assert told is not None, f"{tried} more were taken beside {HELD} that are held"
        assert told.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, (told.code(), told.details())
        may_end.set()
        for thread in held:
            thread.join()
        # Where one of the others came first, it was one of these that had no room.
        known = [grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED]
        assert len(outcomes) == HELD and all(outcome in known for outcome in outcomes), outcomes
        held_taken = outcomes.count(grpc.StatusCode.OK)
        assert held_taken > HELD / 2, outcomes
        # There is room again.
        channel.unary_unary(TRACES)(good(100 + tried, 1, large=BYTES), metadata=metadata, timeout=60)
    print(f"crowd: done, {held_taken + tried} taken")


if __name__ == "__main__":
    main()
