"""``demo``: a page to try a run on, served to this machine alone."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from sae.cli.verbs.verb import Verb
from sae.errors import check_integer


class Demo(Verb):
    """Serve a page: draw or drop a sample, see what the run makes of it, walk through its code."""

    help = "A page to try a run on: draw or drop a sample, walk through the code."
    example = "--run FOLDER [--port 7860] [--open true]"

    def add_options(self, parser: ArgumentParser) -> None:
        """The run, and where the page is."""
        parser.add_argument("--run", type=str, required=True, help="The run's folder.")
        parser.add_argument(
            "--port", type=int, default=7860, help="Where on this machine; 0 for any that is free."
        )
        parser.add_argument("--open", type=bool, default=False, help="Open it in a browser.")

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
