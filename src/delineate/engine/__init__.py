"""Training: from a recipe to a finished run folder.

- `run`: `train`, from request to finished run; device, mixed precision and processes (`make_fabric`)
- `loop`: the training loop of one stage: gradient accumulation, validation, early stopping
- `recipe`, `typo_checks`, `earlier_recipes`, `input_settings`, `planning`: settings
- `data_module`, `dense`, `batch_source`: the dataset as the loop sees it
- `optimizers`, `parameter_groups`, `updates`, `lr_scheduler`: optimizers and learning-rate scheduler
- `checkpoint`, `resume_data`, `run_folder`: checkpoints, exact resume, files of a run
- `validation`, `best_weights`: validation during training and which weights are kept
- `finish`, `native_scores`, `volume_scores`, `model_card`: scores, model and card at the end of a run
- `distributed`, `signals`, `diverged`, `memory`: several processes, Ctrl-C, numbers that are not finite, memory
"""
