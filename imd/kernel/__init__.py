"""Ground floor: errors, clocks, ids, tasks, queues, limits. No I/O, no project imports."""
