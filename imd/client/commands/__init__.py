"""The subcommands of imc, one module a group of them."""
