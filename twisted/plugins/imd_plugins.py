"""What ``twistd`` offers. Names only: every ``twistd`` command imports this file."""

from twisted.application.service import ServiceMaker

im = ServiceMaker("im", "tap.im", "The whole server in one process: gateway, accounts, messages.", "im")
