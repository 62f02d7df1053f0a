// The number of `limits.connections` where the file has none and the descriptor limit holds as many.

export const USUAL_CONNECTIONS = 10_000
