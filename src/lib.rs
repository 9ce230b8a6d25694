//! The `tacho` program: commands, configuration and wiring.
