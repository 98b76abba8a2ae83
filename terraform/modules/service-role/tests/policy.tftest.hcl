# What the policy must say, read back from the JSON that IAM would get.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/fleet-scaler" }
  }
}

variables {
  name                = "fleet-scaler"
  owner               = "prod-1"
  launch_template_ids = ["lt-0a1"]
  subnet_ids          = ["subnet-0a1", "subnet-0b2"]
  security_group_ids  = ["sg-0a1"]
  target_group_arns   = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
  host_role_arns      = ["arn:aws:iam::123456789012:role/web-host"]
}

run "launches_carry_our_tag_and_imdsv2" {
  command = plan

  assert {
    condition = one([
      for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Condition.StringEquals
      if s.Sid == "LaunchOnlyTaggedInstances"
      ]) == {
      "aws:RequestTag/fleet-scaler:owner" = "prod-1"
      "ec2:MetadataHttpTokens"            = "required"
    }
    error_message = "RunInstances on instances must require the owner's tag and IMDSv2"
  }

  assert {
    condition = one([
      for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Condition.Null
      if s.Sid == "LaunchOnlyTaggedInstances"
      ]) == {
      "aws:RequestTag/fleet-scaler:fleet"  = "false"
      "aws:RequestTag/fleet-scaler:launch" = "false"
    }
    error_message = "RunInstances on instances must require the fleet's and the launch's tag"
  }

  assert {
    condition = one([
      for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Condition.Bool["ec2:Encrypted"]
      if s.Sid == "LaunchWithEncryptedVolumes"
    ]) == "true"
    error_message = "RunInstances on volumes must require encryption"
  }

  assert {
    condition = one([
      for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Condition.Bool["ec2:IsLaunchTemplateResource"]
      if s.Sid == "LaunchTheTemplatesImage"
    ]) == "true"
    error_message = "the image must be the template's own"
  }
}

run "every_launch_statement_is_bound" {
  command = plan

  # Either the statement names launch templates as its resource, or it is conditional on them.
  assert {
    condition = alltrue([
      for s in jsondecode(aws_iam_policy.service.policy).Statement :
      s.Sid == "LaunchFromTheseTemplates"
      ? s.Resource == ["arn:aws:ec2:eu-west-1:123456789012:launch-template/lt-0a1"]
      : try(s.Condition.ArnEquals["ec2:LaunchTemplate"], []) == ["arn:aws:ec2:eu-west-1:123456789012:launch-template/lt-0a1"]
      if contains(flatten([s.Action]), "ec2:RunInstances")
    ])
    error_message = "a RunInstances statement is not bound to the launch templates"
  }

  assert {
    condition = length([
      for s in jsondecode(aws_iam_policy.service.policy).Statement : s if contains(flatten([s.Action]), "ec2:RunInstances")
    ]) == 5
    error_message = "instance, volume, image, network and template each need their statement, and nothing else does"
  }

  assert {
    condition = one([
      for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Resource
      if s.Sid == "LaunchIntoTheseNetworks"
      ]) == [
      "arn:aws:ec2:eu-west-1:123456789012:subnet/subnet-0a1",
      "arn:aws:ec2:eu-west-1:123456789012:subnet/subnet-0b2",
      "arn:aws:ec2:eu-west-1:123456789012:security-group/sg-0a1",
      "arn:aws:ec2:eu-west-1:123456789012:network-interface/*",
    ]
    error_message = "launches must go into the named subnets and security groups and no others"
  }
}

run "tags_are_set_at_birth_only" {
  command = plan

  assert {
    condition = one([
      for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Condition.StringEquals
      if contains(flatten([s.Action]), "ec2:CreateTags")
      ]) == {
      "aws:RequestTag/fleet-scaler:owner" = "prod-1"
      "ec2:CreateAction"                  = "RunInstances"
    }
    error_message = "CreateTags must be part of RunInstances and carry the owner's tag"
  }

  assert {
    condition = !anytrue([
      for action in flatten([for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Action]) :
      action == "ec2:DeleteTags"
    ])
    error_message = "whoever may delete tags decides what the scaler owns"
  }
}

run "only_owned_instances_are_terminated" {
  command = plan

  assert {
    condition = one([
      for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Condition.StringEquals
      if contains(flatten([s.Action]), "ec2:TerminateInstances")
    ]) == { "aws:ResourceTag/fleet-scaler:owner" = "prod-1" }
    error_message = "TerminateInstances must require the owner's tag on the instance"
  }
}

run "nothing_changes_everything" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for s in jsondecode(aws_iam_policy.service.policy).Statement : [
        for action in flatten([s.Action]) :
        can(regex("^(ec2|elasticloadbalancing):Describe[A-Za-z]+$", action)) || !contains(flatten([s.Resource]), "*")
      ]
    ]))
    error_message = "only describes may have every resource as theirs"
  }

  assert {
    condition = !anytrue([
      for action in flatten([for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Action]) :
      strcontains(action, "*")
    ])
    error_message = "actions are named one by one"
  }

  assert {
    condition     = alltrue([for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Effect == "Allow"])
    error_message = "this policy only allows; what it does not name is refused"
  }
}

run "targets_and_passed_roles_are_named" {
  command = plan

  assert {
    condition = tolist(one([
      for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Resource
      if contains(flatten([s.Action]), "elasticloadbalancing:RegisterTargets")
    ])) == var.target_group_arns
    error_message = "RegisterTargets must be limited to the target groups given"
  }

  assert {
    condition = one([
      for s in jsondecode(aws_iam_policy.service.policy).Statement :
      tolist(s.Resource) == var.host_role_arns && s.Condition.StringEquals["iam:PassedToService"] == "ec2.amazonaws.com"
      if contains(flatten([s.Action]), "iam:PassRole")
    ])
    error_message = "PassRole must be limited to the hosts' role, and to EC2"
  }
}

run "what_is_not_asked_for_is_not_granted" {
  command = plan

  variables {
    target_group_arns = []
    host_role_arns    = []
  }

  assert {
    condition = length(setintersection(
      flatten([for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Action]),
      [
        "elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets",
        "iam:PassRole", "kms:CreateGrant", "kms:Decrypt",
      ],
    )) == 0
    error_message = "no target groups, no host role and no key were given, so no right to any may be there"
  }
}

run "keys_and_spot_where_asked_for" {
  command = plan

  variables {
    allow_spot   = true
    kms_key_arns = ["arn:aws:kms:eu-west-1:123456789012:key/0a1"]
  }

  assert {
    condition = one([
      for s in jsondecode(aws_iam_policy.service.policy).Statement :
      s.Condition.Bool["kms:GrantIsForAWSResource"] == "true"
      && s.Condition.StringEquals["kms:ViaService"] == "ec2.eu-west-1.amazonaws.com"
      if contains(flatten([s.Action]), "kms:CreateGrant")
    ])
    error_message = "CreateGrant must be for AWS's resources and through EC2"
  }

  assert {
    condition = one([
      for s in jsondecode(aws_iam_policy.service.policy).Statement : s.Resource if s.Sid == "LaunchOnTheSpotMarket"
    ]) == "arn:aws:ec2:eu-west-1:123456789012:spot-instances-request/*"
    error_message = "spot launches need spot-instances-request"
  }
}

run "trust_is_ec2_unless_told" {
  command = plan

  assert {
    condition     = jsondecode(aws_iam_role.service.assume_role_policy).Statement[0].Principal.Service == "ec2.amazonaws.com"
    error_message = "without a trust policy of the user's, EC2 is trusted"
  }

  assert {
    condition     = length(aws_iam_instance_profile.service) == 1
    error_message = "on EC2 the role needs an instance profile"
  }
}

run "trust_as_told" {
  command = plan

  variables {
    assume_role_policy = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  }

  assert {
    condition     = jsondecode(aws_iam_role.service.assume_role_policy).Statement == []
    error_message = "the trust policy given must be the one used"
  }

  assert {
    condition     = length(aws_iam_instance_profile.service) == 0
    error_message = "outside EC2 there is no instance profile"
  }
}

run "refuses_a_wildcard_owner" {
  command = plan

  variables {
    owner = "prod-*"
  }

  expect_failures = [var.owner]
}

run "refuses_a_template_by_name" {
  command = plan

  variables {
    launch_template_ids = ["web"]
  }

  expect_failures = [var.launch_template_ids]
}

run "refuses_wildcard_target_groups" {
  command = plan

  variables {
    target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/*"]
  }

  expect_failures = [var.target_group_arns]
}

run "refuses_any_role" {
  command = plan

  variables {
    host_role_arns = ["*"]
  }

  expect_failures = [var.host_role_arns]
}
