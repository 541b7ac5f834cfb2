"""A Python program as one would write it, with what comes with Python.

    pool.py threads|processes N     nanoseconds of wall time per no-op task, two workers
    pool.py trip N                  microseconds of one task's round trip through two processes, median
    pool.py get FILE AT_ONCE        milliseconds for the URLs in FILE, a line each, a thread per request
"""
import concurrent.futures
import multiprocessing
import statistics
import sys
import time
import urllib.request

BATCH = 64  # tasks in one message between processes, as many as concd has in a chunk


def noop(n):
    return n + 1


def get(url):
    with urllib.request.urlopen(url) as answer:
        if len(answer.read()) != 1024:
            raise RuntimeError(url + ": not 1,024 bytes")


def per_task(n, results):
    start = time.monotonic_ns()
    if sum(1 for _ in results()) != n:
        raise RuntimeError("results are missing")
    return (time.monotonic_ns() - start) / n


def main(argv):
    if argv[1] == "threads":
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return per_task(int(argv[2]), lambda: pool.map(noop, range(int(argv[2]))))
    if argv[1] == "processes":
        with multiprocessing.Pool(2) as pool:
            pool.map(noop, range(2 * BATCH), BATCH)  # both are there
            return per_task(int(argv[2]), lambda: pool.imap(noop, range(int(argv[2])), BATCH))
    if argv[1] == "trip":
        times = []
        with multiprocessing.Pool(2) as pool:
            for i in range(int(argv[2])):
                start = time.monotonic_ns()
                pool.apply(noop, (i,))
                times.append((time.monotonic_ns() - start) / 1e3)
        return statistics.median(times)
    with open(argv[2]) as file:
        urls = file.read().split()
    start = time.monotonic_ns()
    with concurrent.futures.ThreadPoolExecutor(int(argv[3])) as pool:
        for _ in pool.map(get, urls):
            pass
    return (time.monotonic_ns() - start) / 1e6


if __name__ == "__main__":
    print("%.3f" % main(sys.argv))
