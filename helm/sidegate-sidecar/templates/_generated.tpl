{{/* Written by helm/generate.ts; change the source, not this file. */}}

{{/* The keys of the configuration that are true or false. Every other false was `off` before Helm read it. */}}
{{- define "sidegate.lib.flags" -}}
noDelay,plainKeys,probes,requests,timeline
{{- end -}}

{{- define "sidegate.lib.version" -}}
0.2.0
{{- end -}}
