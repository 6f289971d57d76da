"""ConDSeg: contrast-driven feature enhancement (Lei, Wu, Lv, Wang, AAAI 2025, arXiv 2412.08345)."""
