"""Which numbers fit: a workload and a server in, pool sizes, a budget and queues out. No clock, no dice, no I/O."""
