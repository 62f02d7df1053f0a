// The pages to which alerts and dashboards lead an operator on call.

const DOCS = 'https://github.com/sidegate/sidegate/blob/main/docs'

export const RUNBOOKS = `${DOCS}/runbooks`
export const TROUBLESHOOTING = `${DOCS}/troubleshooting.md`
export const COMPLAINTS = `${DOCS}/operating.md#from-a-complaint-to-the-cause-in-five-minutes`
