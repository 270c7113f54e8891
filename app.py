"""NCA Garden's page: settings, jobs, launch. `python app.py`, or the app file of a Space."""

import os
import signal
import sys
import threading

import torch

from nca.config import BadInput
from nca.jobs import JobQueue, warm_up
from nca.settings import Settings, check_proxies, own_temp_folder


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, then let the trainings save themselves."""
    try:
        check_proxies(os.environ)
        settings = Settings.from_environment()
        own_temp_folder(settings.home, os.environ)
    except BadInput as error:
        sys.exit(str(error))
    from nca.ui import build_ui, launch_options  # Gradio reads its environment when imported

    torch.set_num_threads(1)  # trainings have processes of their own; the page must not wait
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    queue = JobQueue(settings.home, settings.limits)
    compiling = warm_up.start()
    page = build_ui(settings, queue)
    page.launch(prevent_thread_lock=True, **launch_options(settings))
    ended.wait()
    compiling.terminate()
    page.close()
    queue.close()


if __name__ == "__main__":
    main()
