// Ways to the application that no targetPort can turn to the gate, and clients without an ingress.

import { takePorts } from '../clashes.ts'
import { isForMetrics, isHeadless, servicePorts } from '../doors.ts'
import { containersOf, portAt } from '../pod.ts'
import { doorAt, leadsTo } from '../services.ts'
import { titleOf } from '../stream.ts'
import type { Judge } from './judge.ts'

export const judgeHeadless: Judge = ({ workload, doors, services }) => {
  const take = takePorts(workload, doors)
  return services.filter(isHeadless).flatMap((service) => {
    const around = servicePorts(service).flatMap(({ port, targetPort = port }) => {
      const door = doorAt(workload, doors, targetPort)
      // The gate has the port that clients dial: this run takes it over, or an earlier one has.
      return door === null || door.isTaken || door.port === targetPort ? [] : [door.appPort]
    })
    return [...new Set(around)].map((port) => ({
      code: 'headless' as const,
      about: titleOf(service),
      text: `is headless: its clients dial port ${port} of the pods themselves, around the gate, and no targetPort changes that; let the gate have the port with ${take(port).option}, and the application listen on ${take(port).moved}`,
    }))
  })
}

export const judgeService: Judge = ({ workload, doors, services }) => {
  if (services.some((service) => leadsTo(service, { workload, doors }))) return []
  if (services.some(isHeadless)) return []
  return doors.map(({ appPort, port }) => ({
    code: 'no-service',
    about: titleOf(workload),
    text: `no Service in this file sends to its port ${appPort}; set targetPort: ${port} in the one that does`,
  }))
}

/** A client that comes without an ingress may claim any address, and would be believed. */
export const judgeClients: Judge = ({ workload, doors, services }) =>
  services
    .filter(({ object }) => ['LoadBalancer', 'NodePort'].includes(object.spec?.type))
    .filter((service) =>
      servicePorts(service).some(({ port, targetPort = port }) => {
        const door = doorAt(workload, doors, targetPort) ?? doors.find((one) => one.port === targetPort)
        return door !== undefined && door.protocol !== 'tcp'
      }),
    )
    .map((service) => ({
      code: 'direct-clients',
      about: titleOf(service),
      text: `is of type ${service.object.spec.type}: where clients come by it directly, and not through an ingress, write http: { trustForwarded: [] } in sidegate.yaml, or they can claim to be anybody`,
    }))

/** Ports that clients of the Service reach as before. */
export const judgeSkipped: Judge = ({ workload, doors, services }) =>
  services
    .filter((service) => !isHeadless(service))
    .flatMap((service) =>
      servicePorts(service)
        .filter(({ name, port, targetPort = port }) => {
          const found = portAt(containersOf(workload), targetPort)
          const isGate = doors.some((door) => door.port === targetPort)
          return (
            !isGate &&
            doorAt(workload, doors, targetPort) === null &&
            !isForMetrics(name) &&
            !isForMetrics(found?.name)
          )
        })
        .map(({ port, targetPort = port }) => ({
          code: 'skipped' as const,
          about: titleOf(service),
          text: `port ${port} leads to ${targetPort} around the gate, as before; name every port that is to have a gate with --port`,
        })),
    )
