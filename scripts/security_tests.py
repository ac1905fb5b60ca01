"""Attacks a running server one way after the other, and measures what somebody else notices.

    security_tests.py URL PID SECONDS
    security_tests.py URL sign-ins SECONDS

Prints a table in Markdown. Attackers come from 127.0.0.1, and the others, who are measured, from 127.0.0.2: to the
server they are different addresses.
"""

import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

PASSWORD = "a long enough phrase"
# What the others do: so many requests a second, of which every second one on a connection of its own.
PACE = 40
OTHERS = ("127.0.0.2", 0)
# How long anything may take before it counts as failed.
PATIENCE = 15
CONNECTIONS = 1000
# How often each attack is made, in turn with all others.
ROUNDS = 3
SIGN_INS = 100


class Connection:
    """HTTP/1.1 as far as it is needed here."""

    def __init__(self, address, source=None):
        self.address, self.source = address, source
        self.reader = self.writer = None

    async def ask(self, method, path, token=None, body=None, last=False):
        """The status of the answer, and its body."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(*self.address, local_addr=self.source)
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
        head += f"Authorization: Bearer {token}\r\n" if token else ""
        head += "Content-Type: application/json\r\n" if data else ""
        head += "Connection: close\r\n" if last else ""
        self.writer.write(head.encode() + b"\r\n" + data)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        status = int(head.split(" ", 2)[1])
        length = [line for line in head.split("\r\n") if line.startswith("content-length:")]
        body = await self.reader.readexactly(int(length[0].split(":")[1])) if length else b""
        return status, body

    def close(self):
        if self.writer is not None:
            self.writer.close()
            self.reader = self.writer = None


async def expect(connection, status, *request):
    """The body of what must succeed."""
    answered, body = await asyncio.wait_for(connection.ask(*request), PATIENCE)
    if answered != status:
        sys.exit(f"{request[:2]}: {answered} {body.decode()}")
    return json.loads(body)


class Others:
    """Somebody who uses the server as people do, and notes how long that takes."""

    def __init__(self, address):
        self.address = address
        self.token = self.chat = None
        self.sent = 0

    async def arrive(self):
        """Opens an account, and a chat to send to."""
        connection = Connection(self.address, OTHERS)
        account = {"email": "ann@example.com", "password": PASSWORD, "full_name": "Ann"}
        session = await expect(connection, 201, "POST", "/api/auth/signup", None, account)
        self.token = session["token"]
        workspace = await expect(connection, 201, "POST", "/api/workspaces", self.token, {"name": "Acme"})
        chat = {"workspace_id": workspace["id"], "chat_type": "Group", "name": "a chat", "member_ids": []}
        self.chat = (await expect(connection, 201, "POST", "/api/chats", self.token, chat))["id"]
        connection.close()

    async def warm_up(self):
        """Has the server open all its connections to PostgreSQL and plan on each what is asked, as one that has served
        many people at a time has done: else the first attack is the first time that much happens at once."""
        async def one():
            connection = Connection(self.address, OTHERS)
            await asyncio.wait_for(connection.ask(*self.request(), last=True), PATIENCE)
            connection.close()

        for _ in range(6):
            await asyncio.gather(*(one() for _ in range(48)))

    def request(self):
        """What is asked next: two reads, and a message."""
        self.sent += 1
        messages = f"/api/chats/{self.chat}/messages"
        return [
            ("GET", "/api/chats", self.token, None),
            ("GET", messages, self.token, None),
            ("POST", messages, self.token, {"content": f"message {self.sent}"}),
        ][self.sent % 3]

    async def use(self, seconds):
        """Uses the server for so long; answers the latencies in milliseconds, and how many requests failed."""
        kept, latencies, failed, tasks = Connection(self.address, OTHERS), [], 0, []
        lock = asyncio.Lock()

        async def one(fresh):
            nonlocal failed
            request = self.request()
            begun = time.perf_counter()
            try:
                if fresh:
                    connection = Connection(self.address, OTHERS)
                    status, _ = await asyncio.wait_for(connection.ask(*request, last=True), PATIENCE)
                    connection.close()
                else:
                    async with lock:
                        status, _ = await asyncio.wait_for(kept.ask(*request), PATIENCE)
                if status not in (200, 201):
                    failed += 1
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                failed += 1
                kept.close()
            latencies.append((time.perf_counter() - begun) * 1000)

        begun = time.perf_counter()
        for i in range(int(seconds * PACE)):
            await asyncio.sleep(max(0.0, begun + i / PACE - time.perf_counter()))
            tasks.append(asyncio.create_task(one(i % 2 == 0)))
        await asyncio.gather(*tasks)
        kept.close()
        return sorted(latencies), failed


async def sign_ins(address, seconds):
    """Signs in with wrong passwords, so many at a time; says how often which status came."""
    statuses, end = {}, time.perf_counter() + seconds

    async def one(i):
        while time.perf_counter() < end:
            connection, status = Connection(address), "none"
            body = {"email": f"nobody{i}@example.com", "password": "a wrong phrase"}
            try:
                answer = connection.ask("POST", "/api/auth/signin", None, body, True)
                status, _ = await asyncio.wait_for(answer, PATIENCE)
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                pass
            connection.close()
            statuses[status] = statuses.get(status, 0) + 1
            if status != 401:
                # Nobody gains by coming back at once, not even an attacker.
                await asyncio.sleep(0.1)

    await asyncio.gather(*(one(i) for i in range(SIGN_INS)))
    print(", ".join(f"{count} × {status}" for status, count in sorted(statuses.items(), key=str)))


async def tool(seconds, *command):
    """Runs an attacker's tool for so long; it yields the processor to the server and the others."""
    process = await asyncio.create_subprocess_exec(
        "nice", "-n", "19", *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), seconds + 15)
        return said.decode(errors="replace").strip()
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        return ""


def of_slowhttptest(said):
    """What it held open, at most, by its own reports."""
    connected = re.findall(r"connected:\s+(\d+)", re.sub(r"\x1b\[[0-9;]*m", "", said))
    return f"{max(map(int, connected), default=0)} open at most"


def of_h2load(said):
    """The line of the requests."""
    lines = [line.strip() for line in said.splitlines() if line.startswith("requests:")]
    return lines[0].removeprefix("requests: ") if lines else ""


def memory(pid, reset=False):
    """Resident memory in MiB: now, and the most since the last reset."""
    if reset:
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return tuple(int(lines[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM"))


def attacks(url, address, seconds):
    """Names, and what starts each."""
    slow = ["slowhttptest", "-c", str(CONNECTIONS), "-r", "500", "-i", "2", "-p", "5", "-l", str(seconds)]
    document, sign_in = f"{url}/api/openapi.json", f"{url}/api/auth/signin"
    body = ["-s", "8192", "-x", "10", "-t", "POST", "-f", "application/json", "-u", sign_in]
    read = ["-w", "10", "-y", "20", "-n", "2", "-z", "16", "-k", "3", "-u", document]

    async def by_slowhttptest(*arguments):
        return of_slowhttptest(await tool(seconds, *slow, *arguments))

    async def by_h2load(*arguments):
        return of_h2load(await tool(seconds, "h2load", "-D", str(seconds), *arguments, f"{url}/api/permissions"))

    return [
        ("slow heads (slowhttptest -H)", lambda: by_slowhttptest("-H", "-x", "24", "-u", document)),
        ("slow bodies (slowhttptest -B)", lambda: by_slowhttptest("-B", *body)),
        ("ranges (slowhttptest -R)", lambda: by_slowhttptest("-R", "-u", document)),
        ("slow reads (slowhttptest -X)", lambda: by_slowhttptest("-X", *read)),
        ("HTTP/2, 100 connections × 10 streams, 500/s (h2load)",
         lambda: by_h2load("-c", "100", "-m", "10", "--rps", "5")),
        ("HTTP/2, 10 connections × 100 streams, no pause (h2load)", lambda: by_h2load("-c", "10", "-m", "100")),
        # In a process of its own, which takes no time from who measures.
        ("100 sign-ins at a time", lambda: tool(seconds, sys.executable, __file__, url, "sign-ins", str(seconds))),
    ]


def at(latencies, part):
    """A percentile."""
    return latencies[min(len(latencies) - 1, int(len(latencies) * part))]


async def main(url, pid, seconds):
    parts = urlsplit(url)
    address = ("127.0.0.1", parts.port)
    url = f"http://127.0.0.1:{parts.port}"
    others = Others(address)
    await others.arrive()
    await others.warm_up()
    await others.use(5)
    seen, idle = {}, []
    for i in range(ROUNDS):
        for name, attack in attacks(url, address, seconds):
            # Before each attack nobody attacks for as long: the machine is not equally fast all the time.
            print(f"{i + 1} of {ROUNDS}: {name}", file=sys.stderr, flush=True)
            idle.append((await others.use(seconds))[0])
            before, _ = memory(pid, reset=True)
            (latencies, failed), saw = await asyncio.gather(others.use(seconds), attack())
            # The tools have closed their connections; the allocator gives back what they took.
            await asyncio.sleep(5)
            after, most = memory(pid)
            seen.setdefault(name, []).append((latencies, failed, before, most, after, saw))
    show(seen, idle, seconds)


def show(seen, idle, seconds):
    """Prints the table: medians of the rounds, and the worst of what must be bounded."""
    usual = statistics.median(at(latencies, 0.99) for latencies in idle)
    print(f"{PACE} requests a second by the others, {ROUNDS} times {seconds} s each; latencies in ms, memory in MiB.\n")
    print("| Attack | p50 | p99 | from–to | ÷ idle | failed | memory before | most | after | what the attacker saw |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    print(f"| nobody, {len(idle)} times | {percentiles(idle)} | 1 | | | | | |")
    for name, rounds in seen.items():
        latencies, failed, before, most, after, saw = zip(*rounds)
        ratio = statistics.median(at(each, 0.99) for each in latencies) / usual
        asked = sum(len(each) for each in latencies)
        print(f"| {name} | {percentiles(latencies)} | {ratio:.2f} | {sum(failed)} of {asked} "
              f"| {before[0]} | {max(most)} | {after[-1]} | {saw[-1]} |")


def percentiles(rounds):
    """The medians of the p50 and of the p99 of several rounds, and how far the p99 lie apart."""
    p50, p99 = ([at(latencies, part) for latencies in rounds] for part in (0.5, 0.99))
    return f"{statistics.median(p50):.1f} | {statistics.median(p99):.1f} | {min(p99):.1f}–{max(p99):.1f}"


if __name__ == "__main__":
    if sys.argv[2] == "sign-ins":
        asyncio.run(sign_ins(("127.0.0.1", urlsplit(sys.argv[1]).port), int(sys.argv[3])))
    else:
        asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
