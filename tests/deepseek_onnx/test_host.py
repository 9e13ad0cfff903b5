"""What the host tells of itself, read from files as Linux has them."""

from deepseek_onnx.host import readings

FILES = {
    "sys/class/thermal/thermal_zone0/type": "acpitz\n",
    "sys/class/thermal/thermal_zone0/temp": "99000\n",
    "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp\n",
    "sys/class/thermal/thermal_zone1/temp": "48500\n",
    "sys/class/thermal/thermal_zone2/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone2/temp": "51000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "3200000\n",
    "proc/loadavg": "1.25 0.75 0.50 2/512 4242\n",
    "proc/meminfo": "MemTotal: 16000 kB\nMemAvailable:   8000 kB\n",
}
NOTHING = dict.fromkeys(("temperature_c", "clock_hz", "load_1min", "available_bytes"))


def written(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_readings_have_the_units_of_their_names(tmp_path):
    assert readings(written(tmp_path, FILES)) == {
        "temperature_c": 51.0,
        "clock_hz": 3.2e9,
        "load_1min": 1.25,
        "available_bytes": 8000 * 1024,
    }


def test_what_is_not_there_or_no_number_is_not_observable(tmp_path):
    assert readings(tmp_path) == NOTHING
    assert readings(written(tmp_path, dict.fromkeys(FILES, "nan\n"))) == NOTHING
    assert readings(written(tmp_path, dict.fromkeys(FILES, ""))) == NOTHING
