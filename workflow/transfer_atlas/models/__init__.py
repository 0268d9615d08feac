"""Pretrained encoders, heads and surgery: functions from model to model."""
