"""``demo``: a page to try a run, served on this machine only."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from sae.cli.verbs.verb import Verb
from sae.errors import check_integer


class Demo(Verb):
    """Serve a page: draw or drop a sample, see its reconstruction, change its code."""

    help = "Open a page to try a run: draw or drop a sample, move through the code."
    example = "--run FOLDER [--port 7860] [--open true]"

    def add_options(self, parser: ArgumentParser) -> None:
        """Add the run and the address of the page."""
        parser.add_argument("--run", type=str, required=True, help="The folder of the run.")
        parser.add_argument(
            "--port", type=int, default=7860, help="Port on this machine; 0 takes a free one."
        )
        parser.add_argument("--open", type=bool, default=False, help="Open the page in a browser.")

    def run(self, options: Namespace) -> None:
        """Serve until Ctrl-C.

        Raises:
            InputError: The run is not finished or is damaged, or the port is taken.
        """
        from sae.demo.server import Server
        from sae.demo.subject import Subject
        from sae.run.model import load_run

        check_integer("port", options.port, 0, "give one such as 7860", high=65535)
        subject = Subject(load_run(Path(options.run).expanduser()))
        server = Server(subject, options.port)
        for remark in subject.remarks:
            print(f"demo: {remark}", flush=True)
        print(f"demo: {server.url} (Ctrl-C ends it)", flush=True)
        if options.open:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("\ndemo: ended", flush=True)
        finally:
            server.server_close()
