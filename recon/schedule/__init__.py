"""When domains are due, and who starts them.

`trigger` has the slot rule, `due` says which domains are due, `serve` is the service in the foreground, `units` the texts for
cron, systemd and Kubernetes.
"""
