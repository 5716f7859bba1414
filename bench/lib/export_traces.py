#!/usr/bin/python3
"""Turns public traces into what strata-sched reads: export_traces.py TRACES OUT SEEDS [LIST...]

TRACES has tools/fgd_eval.py and data/ with alibaba-openb-2023 and huawei-east-1. OUT gets vms.csv and starts.csv
(Huawei-East-1 and the 1,000 fixed episodes of SPANE's test), and for each LIST ("default", "cpu100", ...; none: all that
are there) OUT/LIST/nodes_SEED.csv and arrivals_SEED.csv for SEEDS ("42-51").
"""
import ast
import glob
import gzip
import os
import struct
import subprocess
import sys


def export_machines(traces, out):
    folder = os.path.join(traces, "data/huawei-east-1")
    with gzip.open(os.path.join(folder, "Huawei-East-1-lt.csv.gz"), "rb") as packed, open(os.path.join(out, "vms.csv"), "wb") as plain:
        plain.write(packed.read())
    with open(os.path.join(folder, "test_random_time_1000.npy"), "rb") as file:
        data = file.read()
    size = struct.unpack("<H", data[8:10])[0]
    header = ast.literal_eval(data[10:10 + size].decode())
    starts = struct.unpack("<%dq" % header["shape"][0], data[10 + size:])
    with open(os.path.join(out, "starts.csv"), "w") as file:
        file.write("start\n" + "".join("%d\n" % start for start in starts))


def export_list(traces, out, name, seeds):
    folder = os.path.join(out, name)
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["/usr/bin/python3", os.path.join(traces, "tools/fgd_eval.py"), "--pods", "openb_pod_list_%s.csv" % name,
                    "--export", folder, "--seeds", seeds], check=True, stdout=subprocess.DEVNULL)


def main():
    traces, out, seeds, *names = sys.argv[1:]
    export_machines(traces, out)
    prefix = os.path.join(traces, "data/alibaba-openb-2023/csv/openb_pod_list_")
    for name in names or sorted(path[len(prefix):].split(".")[0] for path in glob.glob(prefix + "*.csv.gz")):
        export_list(traces, out, name, seeds)


main()
