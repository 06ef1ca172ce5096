"""Claims as commands: speed as ratios in one run, accuracy beside what was measured."""
