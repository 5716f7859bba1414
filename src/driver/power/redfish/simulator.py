#!/usr/bin/env python3
"""A simulator of a Redfish controller for tests: simulator.py FOLDER CERTIFICATE KEY [ADDRESS]

Not a real controller: one system with PowerState and the action ComputerSystem.Reset, over TLS, for user admin with
password 'a"\\b c'. FOLDER/power is "On" or "Off", FOLDER/mood how it behaves: well, slow, stuck, refuses, silent, nonsense,
many, polite (no ForceOff), elsewhere (a target on another host). Writes its port to FOLDER/port.
"""
import base64
import http.server
import json
import os
import ssl
import sys
import time

folder, certificate, key, address = (sys.argv[1:] + ["127.0.0.1"])[:4]
USER = "Basic " + base64.b64encode(b'admin:a"\\b c').decode()
SYSTEM = "/redfish/v1/Systems/437XR1138R2"
RESET = SYSTEM + "/Actions/ComputerSystem.Reset"
pending = []				# [when, "On" or "Off"] of a slow one.


def read(name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read().strip()


def write(name, text):
    with open(os.path.join(folder, name + ".new"), "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(os.path.join(folder, name + ".new"), os.path.join(folder, name))


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, value):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def is_refused(self):
        if read("mood") == "silent":
            self.close_connection = True
            return True
        if self.headers.get("Authorization") != USER or read("mood") == "refuses":
            self.answer(401, {"error": {"message": "who are you?"}})
            return True
        return False

    def system(self):
        if pending and time.monotonic() >= pending[0]:
            write("power", pending[1])
            pending.clear()
        allowed = ["On", "GracefulShutdown"] + ([] if read("mood") == "polite" else ["ForceOff"])
        target = "https://elsewhere.example/x" if read("mood") == "elsewhere" else RESET
        state = "PoweringOff" if pending else read("power")
        return {"@odata.id": SYSTEM, "PowerState": state,
                "Actions": {"#ComputerSystem.Reset": {"target": target, "ResetType@Redfish.AllowableValues": allowed}}}

    def do_GET(self):
        if self.is_refused():
            return
        if read("mood") == "nonsense":
            self.answer(200, b'{"Members": [{"@odata.id": "/redfish/v1/../../etc"}], "PowerState": 7')
        elif self.path == "/redfish/v1/Systems":
            self.answer(200, {"Members": [{"@odata.id": SYSTEM}] * (2 if read("mood") == "many" else 1)})
        elif self.path == SYSTEM:
            self.answer(200, self.system())
        else:
            self.answer(404, {})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.is_refused():
            return
        state = {"ForceOff": "Off", "On": "On"}.get(body.get("ResetType"))
        if self.path != RESET or not state:
            self.answer(400, {"error": {"message": "no such reset"}})
            return
        mood = read("mood")
        if mood == "slow":
            pending[:] = [time.monotonic() + 0.7, state]
        elif mood != "stuck":
            write("power", state)
        self.answer(204 if mood == "well" else 202, b"")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer((address, 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
write("port", str(server.server_address[1]))
server.serve_forever()
