"""Networks in continuous time, and networks derived from differential equations."""

from __future__ import annotations

from recurra.cells.entry import CellEntry

ROWS: tuple[CellEntry, ...] = (
    CellEntry(
        "cornn",
        "recurra.cells.cornn:CoRNN",
        "coupled oscillatory recurrent network",
        "Rusch & Mishra 2021",
    ),
    CellEntry(
        "unicornn",
        "recurra.cells.unicornn:UnICORNN",
        "undamped independent oscillators, symplectic steps",
        "Rusch & Mishra 2021",
    ),
    CellEntry(
        "lem", "recurra.cells.lem:LEM", "long expressive memory, a learned time scale a unit", "Rusch et al. 2022"
    ),
    CellEntry(
        "antisymmetric_rnn",
        "recurra.cells.antisymmetric_rnn:AntisymmetricRNN",
        "recurrent matrix with imaginary eigenvalues, Euler steps",
        "Chang et al. 2019",
    ),
    CellEntry(
        "gated_antisymmetric_rnn",
        "recurra.cells.antisymmetric_rnn:AntisymmetricRNN",
        "recurrent matrix with imaginary eigenvalues, and an input gate",
        "Chang et al. 2019",
        (("gated", True),),
    ),
    CellEntry(
        "lipschitz_rnn",
        "recurra.cells.lipschitz_rnn:LipschitzRNN",
        "linear part of known stability plus tanh, Euler steps",
        "Erichson et al. 2021",
    ),
    CellEntry(
        "lipschitz_rnn_rk2",
        "recurra.cells.lipschitz_rnn:LipschitzRNN",
        "linear part of known stability plus tanh, midpoint steps",
        "Erichson et al. 2021",
        (("method", "rk2"),),
    ),
    CellEntry(
        "tau_gru",
        "recurra.cells.tau_gru:TauGRU",
        "gated unit with weighted feedback after a delay",
        "Erichson et al. 2022",
    ),
    CellEntry(
        "ctrnn",
        "recurra.cells.ctrnn:CTRNN",
        "leaky units with learned time constants, Euler's method",
        "Funahashi & Nakamura 1993",
    ),
    CellEntry(
        "ctrnn_exponential",
        "recurra.cells.ctrnn:CTRNN",
        "leaky units with learned time constants, exponential Euler",
        "Funahashi & Nakamura 1993",
        (("method", "exponential"),),
    ),
    CellEntry(
        "ctrnn_rk4",
        "recurra.cells.ctrnn:CTRNN",
        "leaky units with learned time constants, Runge-Kutta of order 4",
        "Funahashi & Nakamura 1993",
        (("method", "rk4"),),
    ),
    CellEntry("mtrnn", "recurra.cells.mtrnn:MTRNN", "groups of units, fast to slow", "Yamashita & Tani 2008"),
    CellEntry("leaky", "recurra.cells.leaky_rnn:LeakyRNN", "leaky integrator network", "Jaeger et al. 2007"),
    CellEntry("ltc", "recurra.cells.ltc:LTC", "liquid time-constant network, fused solver", "Hasani et al. 2021"),
    CellEntry("cfc", "recurra.cells.cfc:CfC", "closed-form continuous-time network", "Hasani et al. 2022"),
    CellEntry(
        "cfc_pure",
        "recurra.cells.cfc:CfC",
        "closed-form continuous-time network, the solution alone",
        "Hasani et al. 2022",
        (("mode", "pure"),),
    ),
    CellEntry(
        "cfc_no_gate",
        "recurra.cells.cfc:CfC",
        "closed-form continuous-time network, one gate left out",
        "Hasani et al. 2022",
        (("mode", "no_gate"),),
    ),
    CellEntry("gru_d", "recurra.cells.gru_d:GRUD", "gated recurrent unit for missing values", "Che et al. 2018"),
    CellEntry(
        "phased_lstm",
        "recurra.cells.phased_lstm:PhasedLSTM",
        "LSTM whose cells open in a rhythm of their own",
        "Neil et al. 2016",
    ),
    CellEntry(
        "ode_rnn",
        "recurra.cells.ode_rnn:ODERNN",
        "hidden units follow a learned differential equation between observations",
        "Rubanova et al. 2019",
    ),
)
