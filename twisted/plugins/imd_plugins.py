"""What ``twistd`` offers. Names only: every ``twistd`` command imports this file."""

from twisted.application.service import ServiceMaker

im = ServiceMaker("im", "tap.im", "The whole server in one process: gateway, accounts, messages.", "im")
im_core = ServiceMaker("im-core", "tap.im_core", "A node with connections and messages.", "im-core")
im_business = ServiceMaker("im-business", "tap.im_business", "A node with accounts and REST.", "im-business")
im_admin = ServiceMaker("im-admin", "tap.im_admin", "The node that publishes settings.", "im-admin")
