"""Applications written with Twofold: `bank`, the smallest whole slice, and `shop`, the full one."""
