-- The health of every resource of auth.wandb.com, from its conditions. argocd-cm.yaml holds this script once
-- for each kind.
local status = obj.status or {}

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

local ready = conditions["Ready"] or {}
local health = {status = "Progressing", message = "The operator has not looked at this version yet."}

if status.observedGeneration ~= obj.metadata.generation then
  return health
end

health.message = ready.message or health.message
if obj.spec.suspend then
  health.status = "Suspended"
elseif holds("Ready") then
  health.status = "Healthy"
elseif holds("Stalled") then
  health.status = "Degraded"
end
return health
