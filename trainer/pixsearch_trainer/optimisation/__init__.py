"""The one loop that every training runs in, and what it needs: optimisers, schedules, averages, its state on disk."""
